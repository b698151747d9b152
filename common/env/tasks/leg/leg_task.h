#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "absl/strings/string_view.h"
#include "common/env/tasks/leg/foot_path.h"
#include "common/env/tasks/leg/leg_kinematics.h"
#include "common/env/tasks/leg/leg_parameters.h"
#include "common/tensor/environment_spec.h"

namespace demorl {

struct LegState {
  LegVector joint_position_rad{};
  LegVector joint_velocity_rad_s{};
};

// The leg's task without a leg: phase of the path, observation, torque of an action, reward, termination. Its
// simulated twin and the real robot's gateway both run it, so that a policy meets the same task on both. One
// control step:
//
//   Observe(state)                 the policy's input
//   JointTorques(action)           what to ask of the motors until the next step
//   Advance()                      a control period later
//   Evaluate(state)                of the state reached, against the path at its new phase
//
// Thread-compatible. Real-time safe: nothing allocates, locks or throws.
class LegTask {
 public:
  // What of the past a step depends on.
  struct Memory {
    double phase = 0;  // [0, 2 pi)
    LegVector last_action{};
    int64_t elapsed_steps = 0;

    bool operator==(const Memory&) const = default;
  };
  struct Outcome {
    double reward = 0;
    bool terminated = false;
  };

  // The parameters must be valid.
  explicit LegTask(const LegParameters& parameters);

  const LegParameters& parameters() const { return parameters_; }
  const LegKinematics& kinematics() const { return kinematics_; }

  // Starts an episode, at the start of the path.
  void Reset() { memory_ = {}; }

  // Fills all of `observation` [parameters().observation_size()].
  void Observe(const LegState& state, std::span<double> observation) const;
  void Observe(const LegState& state, std::span<float> observation) const;

  // Torque of an action, which is clipped to [-1, 1] and remembered; it must be finite.
  LegVector JointTorques(const LegVector& action);

  // Moves on by one control period.
  void Advance();

  Outcome Evaluate(const LegState& state) const;

  // Where the foot should be now, and how fast [m, m/s].
  LegVector DesiredFootPosition() const { return path_.PositionAt(memory_.phase); }
  LegVector DesiredFootVelocity() const { return path_.VelocityAt(memory_.phase, phase_rate_rad_s_); }
  // Joint positions at the start of the path: where an episode begins.
  LegVector StartJointPositions() const;

  const Memory& memory() const { return memory_; }
  void RestoreMemory(const Memory& memory) { memory_ = memory; }

 private:
  template <typename Number>
  void FillObservation(const LegState& state, std::span<Number> observation) const;

  const LegParameters parameters_;
  const LegKinematics kinematics_;
  const FootPath path_;
  const double phase_step_;
  const double phase_rate_rad_s_;
  Memory memory_;
};

// Whether the foot is too far from its point of the path, a joint out of its range, or a number not finite.
bool IsLegOutOfBounds(const LegParameters& parameters, double phase, const LegVector& joint_position_rad);

// The rule as a function of an observation of the given form. It knows no time, so that it is the rule of
// tasks without termination_free_steps only.
bool IsLegOutOfBounds(const LegParameters& parameters, std::span<const float> observation);

// What policies, replay and gateways agree on.
EnvironmentSpec MakeLegSpec(absl::string_view environment_id, const LegParameters& parameters);

}  // namespace demorl
