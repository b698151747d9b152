#pragma once

#include <span>

#include "common/env/tasks/stochlite/task_state.h"

namespace demorl::stochlite {

enum class ObservationSet {
  // Height, roll, pitch, angular velocity (3), plane roll and pitch: what the authors' code observes.
  kAuthors,
  // Height, roll, pitch, yaw, velocity (3), angular velocity (3), plane roll and pitch: the paper's state;
  // then the
  // command (3), cosine and sine of the gait's phase, and the gait as it is followed, as the action (15) that
  // asks for
  // it. All in units in which they vary by about one: height from 0.25 m by 0.02 m, angles by 0.1 rad,
  // velocities by
  // 0.3 m/s and 1 rad/s, the command by what the gait can do.
  // Differs: neither paper nor code has phase and gait, without which the next state does not follow from
  // this one;
  // nor units, without which a network hardly sees the centimetre of height that is worth a third of the
  // reward.
  kFull,
};

constexpr int ObservationSize(ObservationSet set) {
  return set == ObservationSet::kAuthors ? 8 : 17 + kActionSize;
}

// Fills `observation`, of the set's size. Real-time safe.
void WriteObservation(ObservationSet set, const TaskState& state, std::span<double> observation);

// Whether an episode that reaches such an observation has terminated: the torso leans over or is high in the
// air, or is no longer a number.
template <ObservationSet set>
bool Terminates(std::span<const float> observation);
template <>
bool Terminates<ObservationSet::kAuthors>(std::span<const float> observation);
template <>
bool Terminates<ObservationSet::kFull>(std::span<const float> observation);

constexpr auto TerminationRuleOf(ObservationSet set) {
  return set == ObservationSet::kAuthors ? Terminates<ObservationSet::kAuthors>
                                         : Terminates<ObservationSet::kFull>;
}

}  // namespace demorl::stochlite
