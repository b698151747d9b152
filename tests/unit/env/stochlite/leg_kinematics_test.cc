#include "common/env/tasks/stochlite/leg_kinematics.h"

#include <cmath>

#include "common/base/random.h"
#include "gmock/gmock.h"

namespace demorl::stochlite {
namespace {

double Norm(const Vector3& v) { return std::hypot(v[0], v[1], v[2]); }

void ExpectNear(const Vector3& actual, const Vector3& expected, double tolerance) {
  for (int axis = 0; axis < 3; ++axis) {
    EXPECT_NEAR(actual[axis], expected[axis], tolerance) << "axis " << axis;
  }
}

TEST(LegKinematicsTest, StraightLegHangsBesideItsAbductionAxis) {
  for (const Leg leg : kLegs) {
    ExpectNear(FootPosition(leg, {}), {0, IsLeft(leg) ? 0.096 : -0.096, -0.318}, 1e-12);
  }
}

TEST(LegKinematicsTest, StandsAsTheAuthorsStartPose) {
  // Their start: hips 0.772001, knees -1.4129 with the abduction straight.
  const Vector3 foot = FootPosition(Leg::kFrontLeft, {.hip_rad = 0.772001, .knee_rad = -1.4129});
  EXPECT_NEAR(foot[0], 0, 2e-3);
  EXPECT_NEAR(foot[2], -0.2425, 1e-3);
}

TEST(LegKinematicsTest, PositiveAnglesTurnAboutForwardAndLeft) {
  for (const Leg leg : kLegs) {
    EXPECT_GT(FootPosition(leg, {.abduction_rad = 0.1})[1], FootPosition(leg, {})[1]);
    EXPECT_LT(FootPosition(leg, {.hip_rad = 0.1})[0], 0);
    EXPECT_LT(FootPosition(leg, {.knee_rad = 0.1})[0], 0);
  }
}

TEST(LegKinematicsTest, InverseBringsTheFootBackAllOverTheWorkspace) {
  int num_reached = 0;
  for (const Leg leg : kLegs) {
    for (double x = -0.26; x <= 0.26; x += 0.04) {
      for (double y = -0.2; y <= 0.2; y += 0.04) {
        for (double z = -0.3; z <= -0.03; z += 0.03) {
          const Vector3 foot = {x, y, z};
          if (GuardFoot(foot) != foot) {
            continue;
          }
          ExpectNear(FootPosition(leg, SolveLeg(leg, foot)), foot, 1e-9);
          ++num_reached;
        }
      }
    }
  }
  EXPECT_GT(num_reached, 2000);
}

TEST(LegKinematicsTest, AnglesComeBackFromTheirFootWhereTheKneeBendsBackwards) {
  int num_compared = 0;
  for (const Leg leg : kLegs) {
    for (double abduction = -0.6; abduction <= 0.6; abduction += 0.2) {
      for (double hip = -0.2; hip <= 1.2; hip += 0.2) {
        for (double knee = -2.2; knee <= -1; knee += 0.2) {
          const LegJoints joints = {abduction, hip, knee};
          const Vector3 foot = FootPosition(leg, joints);
          if (GuardFoot(foot) != foot) {
            continue;
          }
          const LegJoints back = SolveLeg(leg, foot);
          ++num_compared;
          EXPECT_NEAR(back.abduction_rad, abduction, 1e-9);
          EXPECT_NEAR(back.hip_rad, hip, 1e-9);
          EXPECT_NEAR(back.knee_rad, knee, 1e-9);
        }
      }
    }
  }
  EXPECT_GT(num_compared, 500);
}

TEST(LegKinematicsTest, LeftAndRightMirrorEachOther) {
  const LegJoints left = SolveLeg(Leg::kBackLeft, {0.05, 0.07, -0.22});
  const LegJoints right = SolveLeg(Leg::kBackRight, {0.05, -0.07, -0.22});
  EXPECT_NEAR(left.abduction_rad, -right.abduction_rad, 1e-12);
  EXPECT_NEAR(left.hip_rad, right.hip_rad, 1e-12);
  EXPECT_NEAR(left.knee_rad, right.knee_rad, 1e-12);
}

TEST(LegKinematicsTest, GuardLeavesTheNominalStanceAndCutsWhatIsTooLong) {
  const Vector3 nominal = {0, 0.05, -0.25};
  EXPECT_EQ(GuardFoot(nominal), nominal);
  const double limit = 0.9 * std::hypot(0.096, 0.318);
  const Vector3 far = GuardFoot({0.3, 0.05, -0.35});
  EXPECT_NEAR(Norm(far), limit, 1e-12);
  EXPECT_NEAR(far[0] / far[2], 0.3 / -0.35, 1e-12);
  // A stance with the lowest Z-shift is cut.
  EXPECT_GT(GuardFoot({0, 0.05, -0.35})[2], -0.3);
}

TEST(LegKinematicsTest, EveryPositionEndsInReach) {
  Random random(1);
  for (int draw = 0; draw < 20000; ++draw) {
    const Vector3 foot = {random.Uniform(-1, 1), random.Uniform(-1, 1), random.Uniform(-1, 1)};
    const Vector3 guarded = GuardFoot(foot);
    EXPECT_GE(std::hypot(guarded[1], guarded[2]), 0.096);
    for (const Leg leg : {Leg::kFrontLeft, Leg::kFrontRight}) {
      const LegJoints joints = SolveLeg(leg, foot);
      ExpectNear(FootPosition(leg, joints), guarded, 1e-9);
      EXPECT_LE(std::abs(joints.knee_rad), 3.0);
    }
  }
}

TEST(LegKinematicsTest, FootInItsHipIsPushedDown) {
  const Vector3 foot = GuardFoot({0, 0, 0});
  EXPECT_EQ(foot[1], 0);
  EXPECT_LT(foot[2], -0.1);
}

TEST(LegKinematicsTest, VelocityIsTheDerivativeOfThePosition) {
  Random random(4);
  for (int i = 0; i < 100; ++i) {
    const Leg leg = kLegs[i % kNumLegs];
    const LegJoints at = {random.Uniform(-1, 1), random.Uniform(-1, 2), random.Uniform(-2.7, -0.3)};
    const LegRates rates = {random.Uniform(-5, 5), random.Uniform(-5, 5), random.Uniform(-5, 5)};
    constexpr double kStep_s = 1e-6;
    const auto after = [&](double time_s) {
      return FootPosition(
          leg, {at.abduction_rad + time_s * rates.abduction_rad_s, at.hip_rad + time_s * rates.hip_rad_s,
                at.knee_rad + time_s * rates.knee_rad_s});
    };
    const Vector3 before = after(-kStep_s), later = after(kStep_s);
    ExpectNear(FootVelocity(leg, at, rates),
               {(later[0] - before[0]) / (2 * kStep_s), (later[1] - before[1]) / (2 * kStep_s),
                (later[2] - before[2]) / (2 * kStep_s)},
               1e-6);
  }
}

}  // namespace
}  // namespace demorl::stochlite
