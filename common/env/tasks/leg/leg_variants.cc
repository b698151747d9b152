#include "common/env/tasks/leg/leg_variants.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace demorl {
namespace {

// The reward as printed, seen as the authors' code sees it.
LegParameters Literal() {
  LegParameters parameters;
  parameters.position_scale_m = 1;
  parameters.velocity_scale_m_s = 1;
  parameters.observation = LegObservation::kAuthors;
  return parameters;
}

// Literal, with the torques and the termination of the authors' hardware code. Their factor of 0.4 N m cannot
// be a torque of the joints, since gravity alone asks for 0.65 of the hip; the conversions of their joint
// sensors say that the wire carries revolutions of motors behind gears of 6 and 8.18, and so here does the
// factor.
LegParameters Authors() {
  constexpr double kMotorTorque = 0.4;  // N m
  LegParameters parameters = Literal();
  parameters.max_joint_torque_nm = {6 * kMotorTorque, 8.18 * kMotorTorque};
  parameters.mean_of_two_actions = true;
  parameters.max_foot_error_m = 0.1;
  parameters.termination_free_steps = 450;
  return parameters;
}

// One cycle in five seconds and an episode, as the authors' figure of 0.2 reads in hertz.
LegParameters Slow() {
  LegParameters parameters;
  parameters.path_frequency_hz = 0.2;
  parameters.max_episode_steps = 2500;
  return parameters;
}

LegParameters Seeing(LegObservation observation) {
  LegParameters parameters;
  parameters.observation = observation;
  return parameters;
}

}  // namespace

std::vector<LegVariant> LegVariants() {
  return {{"Leg2R-v0", {}},
          {"Leg2RLiteral-v0", Literal()},
          {"Leg2RAuthors-v0", Authors()},
          {"Leg2RSlow-v0", Slow()},
          {"Leg2RObs5-v0", Seeing(LegObservation::kWithoutAction)},
          {"Leg2RObs3-v0", Seeing(LegObservation::kPositions)}};
}

absl::StatusOr<LegParameters> FindLegParameters(absl::string_view environment_id) {
  std::vector<std::string> known;
  for (const LegVariant& variant : LegVariants()) {
    if (variant.environment_id == environment_id) {
      return variant.parameters;
    }
    known.push_back(variant.environment_id);
  }
  return absl::NotFoundError(
      absl::StrCat("'", environment_id, "' is no task of the leg; known are ", absl::StrJoin(known, ", ")));
}

}  // namespace demorl
