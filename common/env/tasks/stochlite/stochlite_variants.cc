#include "common/env/tasks/stochlite/stochlite_variants.h"

#include <array>
#include <numbers>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/env/tasks/stochlite/gait_action.h"

namespace demorl::stochlite {
namespace {

constexpr double kDegree = std::numbers::pi / 180;
constexpr int kMaxEpisodeSteps = 1000;

}  // namespace

EnvironmentSpec TwinSpec(std::string environment_id, ObservationSet observation) {
  EnvironmentSpec spec = {.environment_id = std::move(environment_id),
                          .observation_size = ObservationSize(observation),
                          .action_size = kActionSize,
                          .control_period = absl::Milliseconds(10),
                          .max_episode_steps = kMaxEpisodeSteps};
  for (const double value : {-1.0, 1.0}) {
    std::array<double, kActionSize> action;
    action.fill(value);
    const Gait gait = GaitFromAction(action);
    std::vector<double>& bounds = value < 0 ? spec.command_minimum : spec.command_maximum;
    for (int axis = 0; axis < 3; ++axis) {
      for (const Vector3& shift : gait.shift_m) {
        bounds.push_back(shift[axis]);
      }
    }
    bounds.insert(bounds.end(), {gait.forward_m_s, gait.lateral_m_s, gait.yaw_rate_rad_s});
  }
  return spec;
}

std::vector<StochLiteVariant> StochLiteVariants() {
  TwinOptions learning;
  learning.randomisation.max_incline_rad = 9 * kDegree;
  TwinOptions robust = learning;
  robust.randomisation.min_forward_m_s = 0.2;
  robust.randomisation.friction = true;
  robust.randomisation.motor_strength = true;
  robust.randomisation.added_mass = true;
  robust.randomisation.push = true;
  // Uphill.
  TwinOptions slope5;
  slope5.randomisation.slope.pitch_rad = -5 * kDegree;
  TwinOptions authors;
  authors.observation = ObservationSet::kAuthors;
  authors.smoothing_time_s = 0;
  return {{"StochLite-v0", learning},
          {"StochLiteRobust-v0", robust},
          {"StochLiteSlope5-v0", slope5},
          {"StochLiteAuthors-v0", authors}};
}

absl::StatusOr<TwinOptions> FindStochLiteOptions(absl::string_view environment_id) {
  std::vector<std::string> known;
  for (const StochLiteVariant& variant : StochLiteVariants()) {
    if (variant.environment_id == environment_id) {
      return variant.options;
    }
    known.push_back(variant.environment_id);
  }
  return absl::NotFoundError(
      absl::StrCat("'", environment_id, "' is no task of StochLite; known are ", absl::StrJoin(known, ", ")));
}

}  // namespace demorl::stochlite
