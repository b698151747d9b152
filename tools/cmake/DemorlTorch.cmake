# demorl::torch, from Debian's libtorch-dev or from an unpacked wheel. Only four places may link it:
# common/rl, model_trainer, mpc_rollout, sac_learner.

add_library(demorl_torch INTERFACE)
add_library(demorl::torch ALIAS demorl_torch)
if(DEMORL_TORCH_WHEEL_DIR)
  # The wheel carries an old copy of google/protobuf: no source file may include both Torch and protobuf.
  target_include_directories(demorl_torch SYSTEM INTERFACE
    ${DEMORL_TORCH_WHEEL_DIR}/include ${DEMORL_TORCH_WHEEL_DIR}/include/torch/csrc/api/include)
  target_link_directories(demorl_torch INTERFACE ${DEMORL_TORCH_WHEEL_DIR}/lib)
  target_link_options(demorl_torch INTERFACE -Wl,-rpath,${DEMORL_TORCH_WHEEL_DIR}/lib
    -Wl,--unresolved-symbols=ignore-in-shared-libs)
  target_link_libraries(demorl_torch INTERFACE torch_cpu c10)
else()
  find_path(DEMORL_TORCH_INCLUDE torch/csrc/api/include/torch/torch.h REQUIRED)
  target_include_directories(demorl_torch SYSTEM INTERFACE
    ${DEMORL_TORCH_INCLUDE} ${DEMORL_TORCH_INCLUDE}/torch/csrc/api/include)
  target_link_libraries(demorl_torch INTERFACE torch_cpu c10)
endif()
