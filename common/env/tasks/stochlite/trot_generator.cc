#include "common/env/tasks/stochlite/trot_generator.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "common/base/check.h"
#include "common/env/tasks/stochlite/leg_kinematics.h"

namespace demorl::stochlite {
namespace {

constexpr double kPi = std::numbers::pi;

// Knots of the lift at multiples of pi/4.
struct Knot {
  double height_m;
  double slope_m_rad;
};
constexpr std::array<Knot, 5> kLift = {{{0, 0.1}, {0.06, 0.05}, {0.08, 0}, {0.04, -0.1}, {0, 0}}};

double PhaseOffset(Leg leg) { return leg == Leg::kFrontLeft || leg == Leg::kBackRight ? 0 : kPi; }

// Velocity of the torso's point above the foot, (vx, vy) + yaw rate x r.
std::array<double, 2> VelocityAbove(const Gait& gait, Leg leg, const Vector3& foot_m) {
  const Vector3 hip = HipOffset(leg);
  return {gait.forward_m_s - gait.yaw_rate_rad_s * (foot_m[1] + hip[1]),
          gait.lateral_m_s + gait.yaw_rate_rad_s * (foot_m[0] + hip[0])};
}

}  // namespace

double FootLift(double phase_rad) {
  if (phase_rad <= 0 || phase_rad >= kPi) {
    return 0;
  }
  constexpr double kInterval = kPi / 4;
  const int i = std::min(static_cast<int>(phase_rad / kInterval), 3);
  const double t = phase_rad / kInterval - i;
  // Cubic Hermite interpolation.
  const double rise = t * t * (3 - 2 * t);
  return kLift[i].height_m * (1 - rise) + kLift[i + 1].height_m * rise +
         kInterval * t * (1 - t) * (kLift[i].slope_m_rad * (1 - t) - kLift[i + 1].slope_m_rad * t);
}

TrotGenerator::TrotGenerator(double control_period_s, double smoothing_time_s)
    : control_period_s_(control_period_s),
      gait_share_(smoothing_time_s > 0 ? 1 - std::exp(-control_period_s / smoothing_time_s) : 1) {
  DEMORL_CHECK(control_period_s > 0 && control_period_s < kStanceTime_s);
  Reset();
}

void TrotGenerator::Reset() {
  state_.phase_rad = 0;
  state_.gait = GaitFromAction(std::array<double, kActionSize>{});
  for (const Leg leg : kLegs) {
    state_.feet_m[Index(leg)] = {0, state_.gait.shift_m[Index(leg)][1], kStanceHeight_m};
  }
}

double TrotGenerator::Phase(Leg leg) const { return std::fmod(state_.phase_rad + PhaseOffset(leg), 2 * kPi); }

bool TrotGenerator::InStance(Leg leg) const { return Phase(leg) > kPi; }

bool TrotGenerator::InFirmStance(Leg leg) const { return std::abs(Phase(leg) - 1.5 * kPi) <= kPi / 4; }

void TrotGenerator::Follow(const Gait& gait) {
  const auto follow = [this](double asked, double* followed) {
    *followed += gait_share_ * (asked - *followed);
  };
  for (const Leg leg : kLegs) {
    for (int axis = 0; axis < 3; ++axis) {
      follow(gait.shift_m[Index(leg)][axis], &state_.gait.shift_m[Index(leg)][axis]);
    }
  }
  follow(gait.forward_m_s, &state_.gait.forward_m_s);
  follow(gait.lateral_m_s, &state_.gait.lateral_m_s);
  follow(gait.yaw_rate_rad_s, &state_.gait.yaw_rate_rad_s);
}

void TrotGenerator::MoveFoot(Leg leg) {
  Vector3& foot = state_.feet_m[Index(leg)];
  const Vector3& shift = state_.gait.shift_m[Index(leg)];
  const std::array<double, 2> velocity = VelocityAbove(state_.gait, leg, foot);
  const double phase = Phase(leg);
  const double time_left = (kPi - phase) / kPi * kStanceTime_s;
  for (int axis = 0; axis < 2; ++axis) {
    if (InStance(leg)) {
      foot[axis] -= velocity[axis] * control_period_s_;
    } else {
      const double target = velocity[axis] * kStanceTime_s / 2 + shift[axis];
      const double share = time_left > control_period_s_ ? control_period_s_ / time_left : 1;
      foot[axis] += (target - foot[axis]) * share;
    }
  }
  foot[2] = kStanceHeight_m + shift[2] + FootLift(phase);
  foot = GuardFoot(foot);
}

const PerLeg<Vector3>& TrotGenerator::Step(const Gait& gait) {
  Follow(gait);
  state_.phase_rad = std::fmod(state_.phase_rad + 2 * kPi * kFrequency_hz * control_period_s_, 2 * kPi);
  for (const Leg leg : kLegs) {
    MoveFoot(leg);
  }
  return state_.feet_m;
}

}  // namespace demorl::stochlite
