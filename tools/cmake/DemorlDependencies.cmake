# Every third-party package, found once. Debian 12 packages unless said otherwise; tools/setup installs them.

find_package(Threads REQUIRED)
find_package(absl REQUIRED)
find_package(Protobuf REQUIRED) # before gRPC, whose config expects its targets
find_package(gRPC CONFIG REQUIRED)
find_package(OpenSSL REQUIRED) # the one that gRPC is linked to
find_package(prometheus-cpp CONFIG REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(httplib REQUIRED IMPORTED_TARGET GLOBAL cpp-httplib)
pkg_check_modules(systemd REQUIRED IMPORTED_TARGET GLOBAL libsystemd)
find_package(spdlog REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(CLI11 REQUIRED)
find_package(Eigen3 REQUIRED NO_MODULE)
find_package(RocksDB CONFIG QUIET)
if(DEMORL_BUILD_TESTS)
  find_package(GTest REQUIRED)
endif()

# Wheels of MuJoCo and Gymnasium, unpacked by tools/setup into the cache folder.
if(DEFINED ENV{DEMORL_CACHE_DIR})
  set(demorl_default_cache $ENV{DEMORL_CACHE_DIR})
elseif(DEFINED ENV{XDG_CACHE_HOME})
  set(demorl_default_cache $ENV{XDG_CACHE_HOME}/demorl)
else()
  set(demorl_default_cache $ENV{HOME}/.cache/demorl)
endif()
set(DEMORL_CACHE_DIR ${demorl_default_cache} CACHE PATH "Where tools/setup unpacks wheels")

set(DEMORL_MUJOCO_VERSION 3.3.7)
set(demorl_mujoco_dir ${DEMORL_CACHE_DIR}/mujoco-${DEMORL_MUJOCO_VERSION}/mujoco)
if(NOT EXISTS ${demorl_mujoco_dir}/libmujoco.so.${DEMORL_MUJOCO_VERSION})
  message(FATAL_ERROR "MuJoCo ${DEMORL_MUJOCO_VERSION} is not under ${DEMORL_CACHE_DIR}; run tools/setup")
endif()
add_library(mujoco::mujoco SHARED IMPORTED GLOBAL)
set_target_properties(mujoco::mujoco PROPERTIES
  IMPORTED_LOCATION ${demorl_mujoco_dir}/libmujoco.so.${DEMORL_MUJOCO_VERSION}
  INTERFACE_INCLUDE_DIRECTORIES ${demorl_mujoco_dir}/include)

# The MJCF files of Gymnasium's tasks; copied beside the binaries, never into the repository.
set(DEMORL_GYMNASIUM_ASSETS ${DEMORL_CACHE_DIR}/gymnasium-1.4.0/gymnasium/envs/mujoco/assets)
if(NOT IS_DIRECTORY ${DEMORL_GYMNASIUM_ASSETS})
  message(FATAL_ERROR "Gymnasium's task models are not under ${DEMORL_CACHE_DIR}; run tools/setup")
endif()

# LibTorch: Debian's package, or the unpacked PyPI wheel when DEMORL_TORCH_WHEEL_DIR names its `torch` folder.
set(DEMORL_TORCH_WHEEL_DIR "" CACHE PATH "Folder `torch` of an unpacked PyPI wheel; empty for Debian's libtorch")
if(DEMORL_WITH_TORCH)
  include(DemorlTorch)
endif()
