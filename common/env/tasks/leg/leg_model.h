#pragma once

#include "absl/status/statusor.h"
#include "common/env/mj_handles.h"
#include "common/env/tasks/leg/leg_parameters.h"

namespace demorl {

// The twin's model: structure and look from leg2r.xml, every figure of the body and the drawn path from
// `parameters`. Joints "hip" and "knee" of torque motors with the same names; the hip is at the origin, x
// forward and z up; the mocap body "desired_foot" is drawn where the foot should be. A model of the caller's
// own. NOT_FOUND where the file is missing.
absl::StatusOr<MjModelHandle> MakeLegModel(const LegParameters& parameters);

}  // namespace demorl
