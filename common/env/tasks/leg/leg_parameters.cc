#include "common/env/tasks/leg/leg_parameters.h"

#include <cmath>
#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "common/base/status_macros.h"
#include "common/env/tasks/leg/foot_path.h"

namespace demorl {
namespace {

constexpr int kPathChecks = 360;

absl::Status CheckPositive(absl::string_view name, double value) {
  if (std::isfinite(value) && value > 0) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat(name, " is ", value, ", more than 0 is needed"));
}

absl::Status CheckNotNegative(absl::string_view name, double value) {
  if (std::isfinite(value) && value >= 0) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat(name, " is ", value, ", at least 0 is needed"));
}

bool IsInside(const JointRange& range, double position_rad) {
  return position_rad >= range.min_rad && position_rad <= range.max_rad;
}

absl::Status CheckPath(const LegParameters& parameters) {
  const FootPath path(parameters.path_half_length_m, parameters.path_base_m, parameters.path_lift_m);
  const LegKinematics kinematics = parameters.Kinematics();
  for (int i = 0; i < kPathChecks; ++i) {
    const double phase = 2 * std::numbers::pi * i / kPathChecks;
    const LegVector foot = path.PositionAt(phase);
    const std::optional<LegVector> joints = kinematics.JointPositions(foot);
    const absl::string_view place = i == 0 ? " (its start)" : "";
    if (!joints.has_value()) {
      return absl::InvalidArgumentError(
          absl::StrCat("the path at phase ", phase, place, " is (", foot[0], ", ", foot[1],
                       ") m from the hip, out of reach of links of ", parameters.link_length_m[0], " and ",
                       parameters.link_length_m[1], " m"));
    }
    if (!IsInside(parameters.hip_range, (*joints)[0]) || !IsInside(parameters.knee_range, (*joints)[1])) {
      return absl::InvalidArgumentError(absl::StrCat(
          "the path at phase ", phase, place, " asks for hip ", (*joints)[0], " and knee ", (*joints)[1],
          " rad; allowed are ", parameters.hip_range.min_rad, " to ", parameters.hip_range.max_rad, " and ",
          parameters.knee_range.min_rad, " to ", parameters.knee_range.max_rad));
    }
  }
  return absl::OkStatus();
}

}  // namespace

int LegParameters::observation_size() const {
  switch (observation) {
    case LegObservation::kTracking:
      return 8;
    case LegObservation::kAuthors:
      return 7;
    case LegObservation::kWithoutAction:
      return 5;
    case LegObservation::kPositions:
      return 3;
  }
  return 0;
}

double LegParameters::PhaseStep() const {
  return 2 * std::numbers::pi * path_frequency_hz * absl::ToDoubleSeconds(control_period);
}

absl::Status Validate(const LegParameters& parameters) {
  for (const int joint : {0, 1}) {
    RETURN_IF_ERROR(CheckPositive("link_length_m", parameters.link_length_m[joint]));
    RETURN_IF_ERROR(CheckPositive("link_mass_kg", parameters.link_mass_kg[joint]));
    RETURN_IF_ERROR(CheckPositive("max_joint_torque_nm", parameters.max_joint_torque_nm[joint]));
  }
  RETURN_IF_ERROR(CheckNotNegative("rotor_inertia_kg_m2", parameters.rotor_inertia_kg_m2));
  RETURN_IF_ERROR(CheckNotNegative("viscous_friction_nm_s_rad", parameters.viscous_friction_nm_s_rad));
  RETURN_IF_ERROR(CheckPositive("path_frequency_hz", parameters.path_frequency_hz));
  RETURN_IF_ERROR(CheckPositive("control_period in s", absl::ToDoubleSeconds(parameters.control_period)));
  RETURN_IF_ERROR(CheckPositive("position_scale_m", parameters.position_scale_m));
  RETURN_IF_ERROR(CheckPositive("velocity_scale_m_s", parameters.velocity_scale_m_s));
  RETURN_IF_ERROR(CheckPositive("max_foot_error_m", parameters.max_foot_error_m));
  RETURN_IF_ERROR(CheckNotNegative("reset_noise_rad", parameters.reset_noise_rad));
  RETURN_IF_ERROR(CheckNotNegative("max_episode_steps", parameters.max_episode_steps));
  if (parameters.PhaseStep() > std::numbers::pi) {
    return absl::InvalidArgumentError(absl::StrCat("path_frequency_hz is ", parameters.path_frequency_hz,
                                                   ", at most half the control rate is allowed"));
  }
  return CheckPath(parameters);
}

}  // namespace demorl
