#include "common/env/tasks/stochlite/state_estimate.h"

#include <algorithm>
#include <cmath>

#include "common/base/check.h"

namespace demorl::stochlite {
namespace {

// Own choice: two control periods, a tenth of a stance. Enough to take the edge off the blow of a landing
// foot, and of the quantised velocities of servos; the torso's own swing, 5 Hz, is delayed by little.
constexpr double kSmoothingTime_s = 0.02;
// A foot this much above the lowest counts less by a factor of e; about what the slope's estimate is good
// for.
constexpr double kContactDepth_m = 0.002;

Vector3 Cross(const Vector3& a, const Vector3& b) {
  return {a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]};
}

Vector3 FootFromTorso(Leg leg, const LegJoints& joints) {
  const Vector3 hip = HipOffset(leg), foot = FootPosition(leg, joints);
  return {hip[0] + foot[0], hip[1] + foot[1], hip[2] + foot[2] - kHipDrop_m};
}

PerLeg<Vector3> FeetFromTorso(const BodyReading& reading) {
  PerLeg<Vector3> feet_m;
  for (const Leg leg : kLegs) {
    feet_m[Index(leg)] = FootFromTorso(leg, reading.joints[Index(leg)]);
  }
  return feet_m;
}

// The torso's height if each foot stood.
PerLeg<double> HeightsAbove(const PerLeg<Vector3>& feet_m, const Attitude& attitude,
                            const PlaneAngles& plane) {
  PerLeg<double> heights_m;
  for (const Leg leg : kLegs) {
    const Vector3 foot = TorsoToHeading(attitude, feet_m[Index(leg)]);
    heights_m[Index(leg)] = GroundHeight_m(plane, foot[0], foot[1]) - foot[2];
  }
  return heights_m;
}

// How much each foot counts, in sum 1.
PerLeg<double> ContactShares(const PerLeg<double>& heights_m) {
  const double lowest = *std::ranges::max_element(heights_m);
  PerLeg<double> shares;
  double sum = 0;
  for (int i = 0; i < kNumLegs; ++i) {
    shares[i] = std::exp((heights_m[i] - lowest) / kContactDepth_m);
    sum += shares[i];
  }
  for (double& share : shares) {
    share /= sum;
  }
  return shares;
}

// Of the torso, if this foot stands.
Vector3 VelocityAgainst(Leg leg, const Vector3& foot_m, const BodyReading& reading) {
  const Vector3 foot = FootVelocity(leg, reading.joints[Index(leg)], reading.joint_rates[Index(leg)]);
  const Vector3 turning = Cross(reading.angular_velocity_rad_s, foot_m);
  return TorsoToHeading(reading.attitude,
                        {-foot[0] - turning[0], -foot[1] - turning[1], -foot[2] - turning[2]});
}

}  // namespace

StateEstimate::StateEstimate(double control_period_s)
    : control_period_s_(control_period_s), share_(1 - std::exp(-control_period_s / kSmoothingTime_s)) {
  DEMORL_CHECK(control_period_s > 0);
}

void StateEstimate::Reset(const BodyReading& reading) {
  const PerLeg<Vector3> feet_m = FeetFromTorso(reading);
  plane_.Reset();
  plane_.Update(feet_m, {true, true, true, true}, reading.attitude);
  const PerLeg<double> heights_m = HeightsAbove(feet_m, reading.attitude, plane_.angles());
  height_m_ = *std::ranges::max_element(heights_m);
  velocity_m_s_ = {};
}

void StateEstimate::Update(const BodyReading& reading, const PerLeg<bool>& firm_stance) {
  const PerLeg<Vector3> feet_m = FeetFromTorso(reading);
  plane_.Update(feet_m, firm_stance, reading.attitude);
  const PlaneAngles plane = plane_.angles();
  const PerLeg<double> heights_m = HeightsAbove(feet_m, reading.attitude, plane);
  const PerLeg<double> shares = ContactShares(heights_m);
  double height = 0;
  Vector3 velocity{};
  for (const Leg leg : kLegs) {
    const double share = shares[Index(leg)];
    const Vector3 against = VelocityAgainst(leg, feet_m[Index(leg)], reading);
    height += share * heights_m[Index(leg)];
    velocity[0] += share * against[0];
    velocity[1] += share * against[1];
  }
  const double last_height_m = height_m_;
  height_m_ += share_ * (height - height_m_);
  for (const int axis : {0, 1}) {
    velocity_m_s_[axis] += share_ * (velocity[axis] - velocity_m_s_[axis]);
  }
  // Upwards a landing foot says nothing: the torso rises as its height changes, and with the ground.
  velocity_m_s_[2] = (height_m_ - last_height_m) / control_period_s_ +
                     GroundHeight_m(plane, velocity_m_s_[0], velocity_m_s_[1]);
}

}  // namespace demorl::stochlite
