#include "common/env/tasks/stoch2/foot_path.h"

#include <cmath>
#include <limits>
#include <numbers>

#include "common/base/random.h"
#include "gmock/gmock.h"
#include "tests/testing/counting_allocator.h"

namespace demorl::stoch2 {
namespace {

using ::testing::DoubleNear;
using ::testing::ElementsAre;

constexpr double kPi = std::numbers::pi;

// An action of these values in its groups, for all legs.
std::array<double, kActionSize> Action(double step, double steer, double up, double forward, double outward) {
  std::array<double, kActionSize> action;
  const std::array<double, 5> groups = {step, steer, up, forward, outward};
  for (int i = 0; i < kActionSize; ++i) {
    action[i] = groups[i / kNumLegs];
  }
  return action;
}

FootPath PathOf(double step, double steer, double up, double forward, double outward) {
  return PathsFromAction(Action(step, steer, up, forward, outward))[0];
}

auto At(double x, double y, double z) {
  return ElementsAre(DoubleNear(x, 1e-12), DoubleNear(y, 1e-12), DoubleNear(z, 1e-12));
}

TEST(PathsFromActionTest, ScalesEachGroupToItsRange) {
  const FootPath low = PathOf(-1, -1, -1, -1, -1), high = PathOf(1, 1, 1, 0.5, 1),
                 middle = PathOf(0, 0, 0, 0, 0);
  EXPECT_DOUBLE_EQ(low.step_length_m, 0);
  EXPECT_DOUBLE_EQ(middle.step_length_m, 0.068);
  EXPECT_DOUBLE_EQ(high.step_length_m, 0.136);
  EXPECT_DOUBLE_EQ(low.steer_rad, -kPi / 2);
  EXPECT_DOUBLE_EQ(high.steer_rad, kPi / 2);
  EXPECT_DOUBLE_EQ(low.up_shift_m, 0);
  EXPECT_DOUBLE_EQ(middle.up_shift_m, 0.019);
  EXPECT_DOUBLE_EQ(high.up_shift_m, 0.038);
  EXPECT_DOUBLE_EQ(low.forward_shift_m, -0.0418);
  EXPECT_DOUBLE_EQ(high.forward_shift_m, 0.0209);
  EXPECT_DOUBLE_EQ(low.outward_shift_m, -0.035);
  EXPECT_DOUBLE_EQ(high.outward_shift_m, 0.035);
}

TEST(PathsFromActionTest, LimitsTheShiftUpOfFeetFarForwardOrBack) {
  for (const double side : {-1.0, 1.0}) {
    EXPECT_DOUBLE_EQ(PathOf(0, 0, 1, side * 0.56, 0).up_shift_m, 0.038);
    EXPECT_NEAR(PathOf(0, 0, 1, side * 0.8, 0).up_shift_m, 0.038 * (0.8 - 1) / (0.5619 - 1), 1e-12);
    EXPECT_NEAR(PathOf(0, 0, 1, side, 0).up_shift_m, 0, 1e-12);
    // Below the limit it stays.
    EXPECT_NEAR(PathOf(0, 0, -0.5, side * 0.8, 0).up_shift_m, 0.038 * 0.25, 1e-12);
  }
}

TEST(PathsFromActionTest, LegsComeInTheAuthorsOrder) {
  std::array<double, kActionSize> action{};
  for (int i = 0; i < kActionSize; ++i) {
    action[i] = 0.01 * i;
  }
  const PerLeg<FootPath> paths = PathsFromAction(action);
  const Leg order[] = {Leg::kFrontRight, Leg::kFrontLeft, Leg::kBackRight, Leg::kBackLeft};
  for (int i = 0; i < kNumLegs; ++i) {
    const FootPath& path = paths[Index(order[i])];
    EXPECT_DOUBLE_EQ(path.step_length_m, 0.068 * (1 + 0.01 * i));
    EXPECT_DOUBLE_EQ(path.steer_rad, kPi / 2 * 0.01 * (4 + i));
    EXPECT_DOUBLE_EQ(path.up_shift_m, 0.019 * (1 + 0.01 * (8 + i)));
    EXPECT_DOUBLE_EQ(path.forward_shift_m, 0.0418 * 0.01 * (12 + i));
    EXPECT_DOUBLE_EQ(path.outward_shift_m, 0.035 * 0.01 * (16 + i));
  }
}

TEST(PathsFromActionTest, ClipsAndForgetsWhatIsNoNumber) {
  EXPECT_EQ(PathOf(7, -7, 7, 0, 7), PathOf(1, -1, 1, 0, 1));
  const double nan = std::numeric_limits<double>::quiet_NaN(), inf = std::numeric_limits<double>::infinity();
  EXPECT_EQ(PathOf(nan, inf, -inf, nan, nan), PathOf(0, 0, 0, 0, 0));
}

TEST(FootOnPathTest, IsHalfAnEllipseInTheAirAndTheGroundBack) {
  const FootPath path = {.step_length_m = 0.1};
  EXPECT_THAT(FootOnPath(Leg::kFrontLeft, path, 0), At(-0.05, 0, -0.244));
  EXPECT_THAT(FootOnPath(Leg::kFrontLeft, path, kPi / 2), At(0, 0, -0.184));
  EXPECT_THAT(FootOnPath(Leg::kFrontLeft, path, kPi / 3), At(-0.025, 0, -0.244 + 0.06 * std::sin(kPi / 3)));
  EXPECT_THAT(FootOnPath(Leg::kFrontLeft, path, kPi), At(0.05, 0, -0.244));
  EXPECT_THAT(FootOnPath(Leg::kFrontLeft, path, 1.5 * kPi), At(0, 0, -0.244));
  EXPECT_THAT(FootOnPath(Leg::kFrontLeft, path, 1.75 * kPi), At(-0.05 * std::cos(kPi / 4), 0, -0.244));
}

TEST(FootOnPathTest, ShiftsMoveThePath) {
  const FootPath path = {
      .step_length_m = 0.1, .up_shift_m = 0.02, .forward_shift_m = 0.03, .outward_shift_m = 0.01};
  EXPECT_THAT(FootOnPath(Leg::kFrontLeft, path, kPi), At(0.08, 0.01, -0.224));
  EXPECT_THAT(FootOnPath(Leg::kBackLeft, path, kPi), At(0.08, 0.01, -0.224));
  EXPECT_THAT(FootOnPath(Leg::kFrontRight, path, kPi), At(0.08, -0.01, -0.224));
  EXPECT_THAT(FootOnPath(Leg::kBackRight, path, kPi), At(0.08, -0.01, -0.224));
}

TEST(FootOnPathTest, SteeringTurnsStepAndForwardShiftButNotTheShiftToTheSide) {
  const FootPath left = {
      .step_length_m = 0.1, .steer_rad = kPi / 2, .forward_shift_m = 0.02, .outward_shift_m = 0.01};
  EXPECT_THAT(FootOnPath(Leg::kFrontLeft, left, kPi), At(0, 0.08, -0.244));
  const FootPath half = {.step_length_m = 0.1, .steer_rad = -kPi / 6};
  EXPECT_THAT(FootOnPath(Leg::kFrontRight, half, kPi), At(0.05 * std::cos(kPi / 6), -0.025, -0.244));
}

TEST(LegPhaseTest, DiagonalLegsGoTogetherHalfACycleApart) {
  EXPECT_EQ(LegPhase(Leg::kFrontRight, 1), 1);
  EXPECT_EQ(LegPhase(Leg::kBackLeft, 1), 1);
  EXPECT_DOUBLE_EQ(LegPhase(Leg::kFrontLeft, 1), 1 + kPi);
  EXPECT_DOUBLE_EQ(LegPhase(Leg::kBackRight, 4), 4 - kPi);
}

TEST(Stoch2LegTest, HangsUnderItsAbductionAxisAndTurnsAboutIt) {
  for (const Leg leg : kLegs) {
    EXPECT_THAT(FootPosition(kStoch2Leg, leg, {}), At(0, 0, -0.30515));
    EXPECT_THAT(FootPosition(kStoch2Leg, leg, {.abduction_rad = kPi / 6}),
                At(0, 0.30515 / 2, -0.30515 * std::cos(kPi / 6)));
    EXPECT_LT(FootPosition(kStoch2Leg, leg, {.hip_rad = 0.1})[0], 0);
  }
}

TEST(Stoch2LegTest, StandsWithItsThighsMotorInTheMiddle) {
  // The motor's zero is 135 degrees from straight ahead, that is 45 from straight down.
  const LegJoints joints = SolveLeg(kStoch2Leg, Leg::kFrontRight, {0, 0, kStanceHeight_m});
  EXPECT_NEAR(joints.hip_rad, kPi / 4, 0.01);
  EXPECT_EQ(joints.abduction_rad, 0);
}

TEST(Stoch2LegTest, EveryActionIsReachedInTheJointsRangesAndComesBackFromTheAngles) {
  Random random(1);
  for (int draw = 0; draw < 20000; ++draw) {
    std::array<double, kActionSize> action;
    for (double& value : action) {
      // Corners as well.
      value = draw % 2 ? random.Uniform(-1, 1) : 2.0 * random.Index(2) - 1;
    }
    const PerLeg<FootPath> paths = PathsFromAction(action);
    for (const Leg leg : kLegs) {
      const Vector3 foot = FootOnPath(leg, paths[Index(leg)], random.Uniform(0, 2 * kPi));
      const LegJoints joints = SolveLeg(kStoch2Leg, leg, foot);
      ASSERT_THAT(
          FootPosition(kStoch2Leg, leg, joints),
          ElementsAre(DoubleNear(foot[0], 1e-9), DoubleNear(foot[1], 1e-9), DoubleNear(foot[2], 1e-9)));
      // See stoch2.xml.
      ASSERT_LT(std::abs(joints.abduction_rad), 1.3);
      ASSERT_GT(joints.hip_rad, -0.8);
      ASSERT_LT(joints.hip_rad, 2.4);
      ASSERT_GT(joints.knee_rad, -2.9);
      ASSERT_LT(joints.knee_rad, 0);
    }
  }
}

TEST(FootOnPathTest, AStepWithItsKinematicsAllocatesNothing) {
  const auto action = Action(0.5, 0.1, -1, -0.5, 0.2);
  const int64_t before = NumAllocations();
  for (int step = 0; step < 100; ++step) {
    const PerLeg<FootPath> paths = PathsFromAction(action);
    for (const Leg leg : kLegs) {
      SolveLeg(kStoch2Leg, leg, FootOnPath(leg, paths[Index(leg)], LegPhase(leg, 0.01 * step)));
    }
  }
  EXPECT_EQ(NumAllocations(), before);
}

}  // namespace
}  // namespace demorl::stoch2
