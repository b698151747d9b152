#pragma once

#include <span>

#include "common/env/tasks/stochlite/task_state.h"

namespace demorl::stochlite {

enum class ObservationSet {
  // Height, roll, pitch, angular velocity (3), plane roll and pitch: what the authors' code observes.
  kAuthors,
  // Height, roll, pitch, yaw, velocity (3), angular velocity (3), plane roll and pitch: the paper's state;
  // then the
  // command (3) in units of what the gait can do, and cosine and sine of the gait's phase.
  // Differs: neither paper nor code has the phase, without which the next state does not follow from this
  // one.
  kFull,
};

// Both sets begin with height, roll and pitch, by which an episode ends.
constexpr int ObservationSize(ObservationSet set) { return set == ObservationSet::kAuthors ? 8 : 17; }

// Fills `observation`, of the set's size. Real-time safe.
void WriteObservation(ObservationSet set, const TaskState& state, std::span<double> observation);

// Whether an episode that reaches such an observation of either set has terminated: the torso leans over or
// is high in the air, or is no longer a number.
bool Terminates(std::span<const float> observation);

}  // namespace demorl::stochlite
