# One target per folder. The build files read as the dependency graph:
#
#   demorl_cc_library(NAME replay_core SRCS ... DEPS demorl::tensor ...)   -> demorl::replay_core
#   demorl_cc_binary(NAME demorl-replay SRCS main.cc DEPS ...)   a NAME that ends in _bench: a benchmark, not installed
#   demorl_cc_test(NAME table_test SRCS ... DEPS ... LABELS unit)
#
# PCH torch on a library or test uses the precompiled headers of Torch; a source of it that is compiled with flags of
# its own, or includes protobuf, sets SKIP_PRECOMPILE_HEADERS.
#
# Our own code is compiled with warnings as errors and, on request, sanitizers; third-party code is not.

add_library(demorl_options INTERFACE)
target_compile_options(demorl_options INTERFACE -Wall -Wextra -Werror -Wno-sign-compare -Wno-missing-field-initializers)
target_include_directories(demorl_options INTERFACE ${PROJECT_SOURCE_DIR})
target_link_libraries(demorl_options INTERFACE Threads::Threads)
if(DEMORL_SANITIZE)
  target_compile_options(demorl_options INTERFACE -fsanitize=${DEMORL_SANITIZE} -fno-omit-frame-pointer)
  target_link_options(demorl_options INTERFACE -fsanitize=${DEMORL_SANITIZE})
  if(DEMORL_SANITIZE MATCHES "thread")
    include(DemorlTsan)
  endif()
endif()
if(DEMORL_FUZZ)
  if(NOT CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
    message(FATAL_ERROR "DEMORL_FUZZ with ${CMAKE_CXX_COMPILER_ID}; want Clang (preset fuzz, tools/setup --fuzz)")
  endif()
  target_compile_options(demorl_options INTERFACE
    -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer)
  target_link_options(demorl_options INTERFACE -fsanitize=address,undefined)
endif()

# All programs, for tools/demorl; all benchmarks, for tools/bench; and the test programs of a label: tests_unit, tests_concurrency, tests_decoder ...
add_custom_target(binaries)
add_custom_target(benches)

function(demorl_add_to_target target member)
  if(NOT TARGET ${target})
    add_custom_target(${target})
  endif()
  add_dependencies(${target} ${member})
endfunction()

function(demorl_use_pch target name)
  if(name STREQUAL "torch")
    target_precompile_headers(${target} REUSE_FROM demorl_torch_pch)
    # The headers are compiled as for a library; of a program CMake would ask for -fPIE, which does not fit them.
    set_target_properties(${target} PROPERTIES POSITION_INDEPENDENT_CODE OFF)
    target_compile_options(${target} PRIVATE -fPIC)
  elseif(name)
    message(FATAL_ERROR "${target}: PCH ${name}; want torch")
  endif()
endfunction()

function(demorl_cc_library)
  cmake_parse_arguments(ARG "" "NAME;PCH" "SRCS;DEPS;PRIVATE_DEPS" ${ARGN})
  if(ARG_SRCS)
    add_library(demorl_${ARG_NAME} STATIC ${ARG_SRCS})
    target_link_libraries(demorl_${ARG_NAME} PUBLIC demorl_options ${ARG_DEPS} PRIVATE ${ARG_PRIVATE_DEPS})
    demorl_use_pch(demorl_${ARG_NAME} "${ARG_PCH}")
  else()
    add_library(demorl_${ARG_NAME} INTERFACE)
    target_link_libraries(demorl_${ARG_NAME} INTERFACE demorl_options ${ARG_DEPS})
  endif()
  add_library(demorl::${ARG_NAME} ALIAS demorl_${ARG_NAME})
endfunction()

# PACKAGE: which of the packages of deploy/packages it goes into; services when not given.
function(demorl_cc_binary)
  cmake_parse_arguments(ARG "" "NAME;PACKAGE" "SRCS;DEPS" ${ARGN})
  add_executable(${ARG_NAME} ${ARG_SRCS})
  target_link_libraries(${ARG_NAME} PRIVATE demorl_options ${ARG_DEPS})
  if(ARG_NAME MATCHES "_bench$")
    add_dependencies(benches ${ARG_NAME})
    return()
  endif()
  if(NOT ARG_PACKAGE)
    set(ARG_PACKAGE services)
  endif()
  if(NOT ARG_PACKAGE STREQUAL gateway) # whose programs know no simulator
    set_target_properties(${ARG_NAME} PROPERTIES INSTALL_RPATH "$ORIGIN/../${DEMORL_PRIVATE_LIBDIR}")
  endif()
  add_dependencies(binaries ${ARG_NAME})
  install(TARGETS ${ARG_NAME} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT ${ARG_PACKAGE})
endfunction()

# Sets `out` to whether one of the libraries after it links demorl::torch, itself or through others of ours.
function(demorl_reaches_torch out)
  set(${out} FALSE PARENT_SCOPE)
  set(pending ${ARGN})
  set(seen)
  while(pending)
    list(POP_FRONT pending library)
    string(REGEX REPLACE "^\\$<LINK_ONLY:(.*)>$" "\\1" library "${library}")
    if(library STREQUAL "demorl::torch")
      set(${out} TRUE PARENT_SCOPE)
      return()
    endif()
    if(library MATCHES "^demorl::" AND TARGET ${library} AND NOT library IN_LIST seen)
      list(APPEND seen ${library})
      get_target_property(dependencies ${library} INTERFACE_LINK_LIBRARIES)
      if(dependencies)
        list(APPEND pending ${dependencies})
      endif()
    endif()
  endwhile()
endfunction()

# LABELS: unit, integration, e2e, and `concurrency` (run under TSan) or `decoder` (run under ASan and UBSan). Unit tests
# that link Torch get the label `torch` by themselves: they also run on the LibTorch of the PyPI wheel.
function(demorl_cc_test)
  cmake_parse_arguments(ARG "" "NAME;TIMEOUT;PCH" "SRCS;DEPS;LABELS" ${ARGN})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 120)
  endif()
  add_executable(${ARG_NAME} ${ARG_SRCS})
  set_target_properties(${ARG_NAME} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  target_link_libraries(${ARG_NAME} PRIVATE demorl_options ${ARG_DEPS} GTest::gmock GTest::gtest_main)
  demorl_use_pch(${ARG_NAME} "${ARG_PCH}")
  add_test(NAME ${ARG_NAME} COMMAND ${ARG_NAME})
  demorl_reaches_torch(uses_torch ${ARG_DEPS})
  if(uses_torch AND "unit" IN_LIST ARG_LABELS)
    list(APPEND ARG_LABELS torch)
    list(REMOVE_DUPLICATES ARG_LABELS)
  endif()
  set_tests_properties(${ARG_NAME} PROPERTIES LABELS "${ARG_LABELS}" TIMEOUT ${ARG_TIMEOUT})
  foreach(label IN LISTS ARG_LABELS)
    demorl_add_to_target(tests_${label} ${ARG_NAME})
  endforeach()
endfunction()
