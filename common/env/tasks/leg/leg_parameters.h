#pragma once

#include <cstdint>
#include <numbers>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/env/tasks/leg/leg_kinematics.h"

namespace demorl {

struct JointRange {
  double min_rad = 0;
  double max_rad = 0;
};

// What the policy sees. The paper does not say; the authors' hardware code has 7 entries, their analysis
// scripts name forms of 5 and 3 as well. Their phase jumps by 2 pi once a cycle, and a centimetre off the
// path is 0.03 rad among joint velocities of several rad/s; the first form, our own, has neither fault.
// Torques act at once, so that it needs no last action to be Markov.
enum class LegObservation {
  // 8: cos and sin of the phase, joint positions, joint velocities in units of kLegVelocityUnit_rad_s, offset
  // of the foot from its point of the path in units of kLegOffsetUnit_m.
  kTracking,
  kAuthors,        // 7: phase, joint positions, joint velocities, last action
  kWithoutAction,  // 5: phase, joint positions, joint velocities
  kPositions,      // 3: phase, joint positions
};

inline constexpr double kLegVelocityUnit_rad_s = 5;
inline constexpr double kLegOffsetUnit_m = 0.1;

// The leg, its path and its reward: the one source of these figures for dynamics, kinematics and task.
// Defaults are Leg2R-v0. The paper fixes the reward (eq. 15), the two links and 500 Hz; the link figures are
// of the authors' hardware code, the path of their analysis scripts.
struct LegParameters {
  // Body. Links are slender rods.
  LegVector link_length_m = {0.297, 0.28};
  LegVector link_mass_kg = {0.2, 0.2};
  double rotor_inertia_kg_m2 = 1e-3;        // own choice; of each motor, seen at the joint
  double viscous_friction_nm_s_rad = 0.05;  // own choice
  KneeBend knee_bend = KneeBend::kBackward;

  // Path.
  double path_half_length_m = 0.16;
  double path_base_m = -0.44;
  double path_lift_m = 0.1;
  // Differs: the authors' code advances the phase by 2 pi 0.2 in every step, five steps a cycle. An episode
  // of 2 s is two cycles at 1 Hz.
  double path_frequency_hz = 1;

  absl::Duration control_period = absl::Milliseconds(2);
  int max_episode_steps = 1000;

  // Joint torque of action 1. Own choice: three times what the path asks of the hip at 1 Hz.
  LegVector max_joint_torque_nm = {2, 2};
  // The torque is that of the mean of the last two actions (authors' code).
  bool mean_of_two_actions = false;

  // Reward, eq. 15: 0.8 exp(-|e_p|^2 / position_scale^2) + 0.2 exp(-|e_v|^2 / velocity_scale^2), which is the
  // paper's with both scales 1. In metres that leaves the position part almost flat: 0.99 of it is paid 10 cm
  // off the path, and 0.91 at 30 cm. With 0.1 m it pays 0.96 at 2 cm and 0.37 at 10 cm.
  double position_scale_m = 0.1;
  double velocity_scale_m_s = 0.5;

  LegObservation observation = LegObservation::kTracking;

  // An episode terminates where the foot is farther from its point of the path, or a joint out of its range.
  double max_foot_error_m = 0.2;
  JointRange hip_range = {-std::numbers::pi / 2, std::numbers::pi / 2};
  JointRange knee_range = {-2.6, -0.2};
  // Steps of an episode before it may terminate (authors' code: 450).
  int64_t termination_free_steps = 0;

  // Half-width of the uniform noise on each joint position at reset, around the start of the path.
  double reset_noise_rad = 0.02;

  LegKinematics Kinematics() const { return LegKinematics(link_length_m, knee_bend); }
  int observation_size() const;
  // Advance of the phase in one control step.
  double PhaseStep() const;
};

// INVALID_ARGUMENT naming the figure, its value and what is allowed; among others, the whole path must be in
// reach and its joint positions inside their ranges.
absl::Status Validate(const LegParameters& parameters);

}  // namespace demorl
