#pragma once

#include "common/env/tasks/stochlite/gait_action.h"
#include "common/env/tasks/stochlite/legs.h"

namespace demorl::stochlite {

// Paths of the four feet in a trot: diagonal legs together, half of each cycle in the air. In stance a foot
// moves against the commanded velocity; in swing it moves, in time for its touch-down, to half a stance ahead
// of its shifted rest. Source: the authors' trajectory_generator.py. Thread-compatible, real-time safe.
class TrotGenerator {
 public:
  static constexpr double kFrequency_hz = 2.5;
  static constexpr double kStanceTime_s = 0.2;
  // Height of the feet in stance, from the hips, without a Z-shift.
  static constexpr double kStanceHeight_m = -0.25;

  // Time constant with which the gait follows what is asked for, by default: one stance.
  // Differs: the authors' gait follows at once, so that the noise with which a policy explores, 100 times a
  // second, makes the feet tremble by centimetres, which a robot should be spared and which costs more than
  // walking earns.
  static constexpr double kSmoothingTime_s = kStanceTime_s;

  // All that the future depends on.
  struct State {
    // In [0, 2 pi), of the front left leg.
    double phase_rad = 0;
    // As commanded last, from the hips.
    PerLeg<Vector3> feet_m{};
    // As followed last.
    Gait gait;
  };

  // `smoothing_time_s` 0 follows at once.
  explicit TrotGenerator(double control_period_s, double smoothing_time_s = kSmoothingTime_s);

  // Feet at rest, front left and back right about to lift, marking time.
  // Differs: the authors carry phase and feet over from one episode to the next.
  void Reset();

  // Advances by a control period and returns where the feet shall be, from the hips, within reach.
  const PerLeg<Vector3>& Step(const Gait& gait);

  const PerLeg<Vector3>& feet_m() const { return state_.feet_m; }
  // In [0, 2 pi): swing until pi, then stance.
  double Phase(Leg leg) const;
  bool InStance(Leg leg) const;
  // Whether the leg is in the middle half of its stance, in which its foot is surely on the ground.
  bool InFirmStance(Leg leg) const;

  const State& state() const { return state_; }
  void set_state(const State& state) { state_ = state; }

 private:
  void Follow(const Gait& gait);
  void MoveFoot(Leg leg);

  const double control_period_s_;
  // Share of the way to the gait asked for that is gone in a step.
  const double gait_share_;
  State state_;
};

// Height of a foot above its stance at a phase of [0, 2 pi]; metres.
double FootLift(double phase_rad);

}  // namespace demorl::stochlite
