# One target per folder. The build files read as the dependency graph:
#
#   demorl_cc_library(NAME replay_core SRCS ... DEPS demorl::tensor ...)   -> demorl::replay_core
#   demorl_cc_binary(NAME demorl-replay SRCS main.cc DEPS ...)
#   demorl_cc_test(NAME table_test SRCS ... DEPS ... LABELS unit)
#
# Our own code is compiled with warnings as errors and, on request, sanitizers; third-party code is not.

add_library(demorl_options INTERFACE)
target_compile_options(demorl_options INTERFACE -Wall -Wextra -Werror -Wno-sign-compare -Wno-missing-field-initializers)
target_include_directories(demorl_options INTERFACE ${PROJECT_SOURCE_DIR})
target_link_libraries(demorl_options INTERFACE Threads::Threads)
if(DEMORL_SANITIZE)
  target_compile_options(demorl_options INTERFACE -fsanitize=${DEMORL_SANITIZE} -fno-omit-frame-pointer)
  target_link_options(demorl_options INTERFACE -fsanitize=${DEMORL_SANITIZE})
endif()

function(demorl_cc_library)
  cmake_parse_arguments(ARG "" "NAME" "SRCS;DEPS;PRIVATE_DEPS" ${ARGN})
  if(ARG_SRCS)
    add_library(demorl_${ARG_NAME} STATIC ${ARG_SRCS})
    target_link_libraries(demorl_${ARG_NAME} PUBLIC demorl_options ${ARG_DEPS} PRIVATE ${ARG_PRIVATE_DEPS})
  else()
    add_library(demorl_${ARG_NAME} INTERFACE)
    target_link_libraries(demorl_${ARG_NAME} INTERFACE demorl_options ${ARG_DEPS})
  endif()
  add_library(demorl::${ARG_NAME} ALIAS demorl_${ARG_NAME})
endfunction()

function(demorl_cc_binary)
  cmake_parse_arguments(ARG "" "NAME" "SRCS;DEPS" ${ARGN})
  add_executable(${ARG_NAME} ${ARG_SRCS})
  target_link_libraries(${ARG_NAME} PRIVATE demorl_options ${ARG_DEPS})
  set_target_properties(${ARG_NAME} PROPERTIES INSTALL_RPATH "$ORIGIN/../${CMAKE_INSTALL_LIBDIR}")
  install(TARGETS ${ARG_NAME} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endfunction()

# LABELS: unit, integration, e2e, and `concurrency` (run under TSan) or `decoder` (run under ASan and UBSan).
function(demorl_cc_test)
  cmake_parse_arguments(ARG "" "NAME;TIMEOUT" "SRCS;DEPS;LABELS" ${ARGN})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 120)
  endif()
  add_executable(${ARG_NAME} ${ARG_SRCS})
  set_target_properties(${ARG_NAME} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  target_link_libraries(${ARG_NAME} PRIVATE demorl_options ${ARG_DEPS} GTest::gmock GTest::gtest_main)
  add_test(NAME ${ARG_NAME} COMMAND ${ARG_NAME})
  set_tests_properties(${ARG_NAME} PROPERTIES LABELS "${ARG_LABELS}" TIMEOUT ${ARG_TIMEOUT})
endfunction()
