#include <numbers>

#include "common/env/tasks/stochlite/stochlite_environment.h"
#include "common/env/tasks/tasks.h"

namespace demorl {
namespace {

using stochlite::ObservationSet;
using stochlite::StochLiteEnvironment;
using stochlite::TwinOptions;

constexpr double kDegree = std::numbers::pi / 180;

NativeTask Task(std::string id, const TwinOptions& options) {
  const EnvironmentSpec spec = stochlite::TwinSpec(std::move(id), options.observation);
  auto make = [spec, options](uint64_t seed) -> absl::StatusOr<std::unique_ptr<Environment>> {
    return StochLiteEnvironment::Create(spec, seed, options);
  };
  return {.spec = spec,
          .termination_rule = stochlite::TerminationRuleOf(options.observation),
          .make = std::move(make)};
}

}  // namespace

std::vector<NativeTask> StochLiteTasks() {
  TwinOptions learning;
  learning.randomisation = {.max_incline_rad = 9 * kDegree, .min_forward_m_s = 0.2, .max_forward_m_s = 0.5};
  TwinOptions robust = learning;
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
  return {Task("StochLite-v0", learning), Task("StochLiteRobust-v0", robust),
          Task("StochLiteSlope5-v0", slope5), Task("StochLiteAuthors-v0", authors)};
}

}  // namespace demorl
