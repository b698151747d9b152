# demorl::torch, from Debian's libtorch-dev or from an unpacked wheel of PyPI. Only four places may link it:
# common/rl, model_trainer, mpc_rollout, sac_learner. No source file includes both Torch and protobuf.

add_library(demorl_torch INTERFACE)
add_library(demorl::torch ALIAS demorl_torch)
if(DEMORL_TORCH_WHEEL_DIR)
  # Beside its own headers the wheel carries others' (protobuf, fmt), which would shadow the system's: a folder of links
  # shows only its own. The rpath of its libraries finds the CUDA parts beside the folder `torch`.
  set(demorl_torch_include ${CMAKE_BINARY_DIR}/torch-include)
  file(REMOVE_RECURSE ${demorl_torch_include})
  file(MAKE_DIRECTORY ${demorl_torch_include})
  foreach(name ATen c10 caffe2 torch)
    file(CREATE_LINK ${DEMORL_TORCH_WHEEL_DIR}/include/${name} ${demorl_torch_include}/${name} SYMBOLIC)
  endforeach()
  target_include_directories(demorl_torch SYSTEM INTERFACE
    ${demorl_torch_include} ${demorl_torch_include}/torch/csrc/api/include)
  target_link_directories(demorl_torch INTERFACE ${DEMORL_TORCH_WHEEL_DIR}/lib)
  target_link_options(demorl_torch INTERFACE -Wl,--unresolved-symbols=ignore-in-shared-libs)
  # As libraries that CMake knows, so that it takes their folder out of what it installs.
  foreach(name torch_cpu c10)
    add_library(demorl_wheel_${name} SHARED IMPORTED GLOBAL)
    set_target_properties(demorl_wheel_${name} PROPERTIES IMPORTED_LOCATION ${DEMORL_TORCH_WHEEL_DIR}/lib/lib${name}.so)
    target_link_libraries(demorl_torch INTERFACE demorl_wheel_${name})
  endforeach()
  if(EXISTS ${DEMORL_TORCH_WHEEL_DIR}/lib/libtorch_cuda.so)
    # None of ours calls it by name; loaded, it tells the rest that there may be a GPU.
    target_link_options(demorl_torch INTERFACE -Wl,--push-state,--no-as-needed,-l:libtorch_cuda.so,--pop-state)
  endif()
else()
  find_path(DEMORL_TORCH_INCLUDE torch/csrc/api/include/torch/torch.h REQUIRED)
  target_include_directories(demorl_torch SYSTEM INTERFACE
    ${DEMORL_TORCH_INCLUDE} ${DEMORL_TORCH_INCLUDE}/torch/csrc/api/include)
  target_link_libraries(demorl_torch INTERFACE torch_cpu c10)
endif()

# The headers of Torch, compiled once for all targets that ask for them (PCH torch): 2.6 s a source file instead of 6.6.
# gRPC's are not worth it: 0.6 s of 3.7.
file(CONFIGURE OUTPUT ${CMAKE_BINARY_DIR}/torch_pch.cc CONTENT "")
add_library(demorl_torch_pch STATIC ${CMAKE_BINARY_DIR}/torch_pch.cc)
target_link_libraries(demorl_torch_pch PRIVATE demorl_options demorl::torch)
target_precompile_headers(demorl_torch_pch PRIVATE <ATen/ATen.h>)
