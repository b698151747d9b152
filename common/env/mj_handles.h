#pragma once

#include <mujoco/mujoco.h>

#include <memory>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace demorl {

struct MjDataDeleter {
  void operator()(mjData* data) const { mj_deleteData(data); }
};
using MjDataHandle = std::unique_ptr<mjData, MjDataDeleter>;

// A compiled model; MuJoCo does not write to it while stepping, so environments share one.
using MjModelHandle = std::shared_ptr<const mjModel>;

// Loads `file_name` from the folder of task models; loaded once and shared while in use. NOT_FOUND with the
// places looked at; INVALID_ARGUMENT with MuJoCo's reason. Thread-safe.
absl::StatusOr<MjModelHandle> LoadMjModel(absl::string_view file_name);

// The folder of task models: $DEMORL_ASSETS_DIR, or ../share/demorl/assets beside the folder of the running
// executable. NOT_FOUND where neither exists.
absl::StatusOr<std::string> FindAssetsFolder();

}  // namespace demorl
