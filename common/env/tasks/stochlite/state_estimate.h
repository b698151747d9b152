#pragma once

#include "common/env/tasks/stochlite/attitude.h"
#include "common/env/tasks/stochlite/leg_kinematics.h"
#include "common/env/tasks/stochlite/plane_estimate.h"

namespace demorl::stochlite {

// What a robot measures of itself.
struct BodyReading {
  PerLeg<LegJoints> joints;
  PerLeg<LegRates> joint_rates;
  // Of the torso; its yaw is not used.
  Attitude attitude;
  // Of the torso, along its own axes.
  Vector3 angular_velocity_rad_s{};
};

// What a simulator knows and a robot must find out: height and velocity of the torso and the slope of the
// ground, from its own legs and an IMU. A foot that stands does not move, so that the torso moves against it:
// v = -(v_foot + w x r). Feet stand where they are lowest on the estimated slope; the trot's own timing is
// not asked, for a landing foot is late by as much as its servos lag. Error in the simulated robot, in a trot
// on slopes of up to 9 degrees: 1.5 mm rms in height, 0.1 m/s rms in velocity, most of it feet that slip.
// Real-time safe. Thread-compatible.
class StateEstimate {
 public:
  explicit StateEstimate(double control_period_s);

  // The robot stands still on all four feet.
  void Reset(const BodyReading& reading);

  // A control period later; `firm_stance` says which feet are surely on the ground.
  void Update(const BodyReading& reading, const PerLeg<bool>& firm_stance);

  // Of the torso's origin, straight down to the ground.
  double height_m() const { return height_m_; }
  // Of the torso's origin, seen from its heading: forward on the level, left, up.
  const Vector3& velocity_m_s() const { return velocity_m_s_; }
  PlaneAngles plane() const { return plane_.angles(); }

 private:
  const double control_period_s_;
  // Share of the way to what is measured that is gone in a control period.
  const double share_;
  PlaneEstimate plane_;
  double height_m_ = 0;
  Vector3 velocity_m_s_{};
};

}  // namespace demorl::stochlite
