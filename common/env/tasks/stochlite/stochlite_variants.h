#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/env/tasks/stochlite/observation.h"
#include "common/env/tasks/stochlite/randomisation.h"
#include "common/env/tasks/stochlite/trot_generator.h"
#include "common/tensor/environment_spec.h"

namespace demorl::stochlite {

inline constexpr double kControlPeriod_s = 0.01;

// One variant of the task. A robot shares observation, smoothing and commands with its twin; the rest is the
// simulator's.
struct TwinOptions {
  ObservationSet observation = ObservationSet::kFull;
  RandomisationOptions randomisation;
  // See TrotGenerator.
  double smoothing_time_s = TrotGenerator::kSmoothingTime_s;
  // Inertias as the authors' URDF gives them, see stochlite.xml.
  bool urdf_inertias = false;
  // Simulation steps of one control step of 10 ms.
  // Differs: the authors' simulator takes 50; with servos integrated implicitly and rotors that are not
  // weightless, 20 give the same walk.
  int simulation_steps = 20;
};

// The specification of the task under an id.
EnvironmentSpec TwinSpec(std::string environment_id, ObservationSet observation);

struct StochLiteVariant {
  std::string environment_id;
  TwinOptions options;
};

// StochLite's environment ids, the default first.
std::vector<StochLiteVariant> StochLiteVariants();

// NOT_FOUND naming the known ids.
absl::StatusOr<TwinOptions> FindStochLiteOptions(absl::string_view environment_id);

}  // namespace demorl::stochlite
