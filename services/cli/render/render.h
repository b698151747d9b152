#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/policy/safetensors.h"

namespace demorl {

struct RenderOptions {
  std::string environment_id;
  // MP4 file.
  std::filesystem::path out;
  uint64_t seed = 0;
  // Frames stop here, or at the end of the episode; 0 for the environment's own limit.
  int max_steps = 0;
  int width = 640;
  int height = 480;
  // Draw actions from the policy's distribution instead of its mean.
  bool stochastic = false;
  // Called after each step, for a progress line; may be empty.
  std::function<void(int step)> progress;
};

struct RenderResult {
  int num_frames = 0;
  double episode_return = 0;
  // "EGL" or "OSMesa".
  std::string backend;
};

// Films one episode of a policy without a display: MuJoCo draws off screen with EGL, else with OSMesa, and
// ffmpeg packs the frames. FAILED_PRECONDITION naming what to install if neither of the two, or no ffmpeg, is
// there; NOT_FOUND for an unknown environment; INVALID_ARGUMENT for a policy that does not fit.
absl::StatusOr<RenderResult> RenderPolicy(const TensorFile& policy, const RenderOptions& options);

}  // namespace demorl
