#include "common/env/tasks/stochlite/trot_generator.h"

#include <cmath>
#include <numbers>

#include "common/base/random.h"
#include "common/env/tasks/stochlite/leg_kinematics.h"
#include "gmock/gmock.h"
#include "tests/testing/counting_allocator.h"

namespace demorl::stochlite {
namespace {

constexpr double kPi = std::numbers::pi;
constexpr double kPeriod_s = 0.01;

Gait Standing() { return GaitFromAction(std::array<double, kActionSize>{}); }

// Steps until `leg` has just entered stance.
void StepIntoStance(TrotGenerator& generator, const Gait& gait, Leg leg) {
  while (generator.InStance(leg)) {
    generator.Step(gait);
  }
  while (!generator.InStance(leg)) {
    generator.Step(gait);
  }
}

TEST(GaitActionTest, ScalesShiftsAndVelocities) {
  std::array<double, kActionSize> action{};
  action[1] = 0.5;    // X, front right
  action[4] = 1;      // Y, front left
  action[7] = -1;     // Y, back right
  action[10] = -0.3;  // Z, back left
  action[12] = 0.4;
  action[13] = -1;
  action[14] = 2;
  const Gait gait = GaitFromAction(action);
  EXPECT_THAT(gait.shift_m[0], ::testing::ElementsAre(0, 0.1 + 0.05, 0));
  EXPECT_THAT(gait.shift_m[1], ::testing::ElementsAre(0.05, -0.05, 0));
  EXPECT_THAT(gait.shift_m[2], ::testing::ElementsAre(0, 0.05, -0.03));
  EXPECT_THAT(gait.shift_m[3], ::testing::ElementsAre(0, -0.1 - 0.05, 0));
  EXPECT_EQ(gait.forward_m_s, 0.2);
  EXPECT_EQ(gait.lateral_m_s, -0.25);
  EXPECT_EQ(gait.yaw_rate_rad_s, 2);  // clipped
}

TEST(GaitActionTest, GivesTheActionBack) {
  std::array<double, kActionSize> action;
  for (int i = 0; i < kActionSize; ++i) {
    action[i] = 0.13 * i - 0.9;
  }
  const std::array<double, kActionSize> back = ActionFromGait(GaitFromAction(action));
  for (int i = 0; i < kActionSize; ++i) {
    EXPECT_NEAR(back[i], action[i], 1e-12);
  }
}

TEST(GaitActionTest, NonFiniteActionsAskForNothing) {
  std::array<double, kActionSize> action;
  action.fill(NAN);
  action[12] = INFINITY;
  const Gait gait = GaitFromAction(action), rest = Standing();
  EXPECT_EQ(gait.shift_m, rest.shift_m);
  EXPECT_EQ(gait.forward_m_s, 0);
  EXPECT_EQ(gait.yaw_rate_rad_s, 0);
}

TEST(FootLiftTest, PassesItsKnotsWithTheirSlopes) {
  const double heights[] = {0, 0.06, 0.08, 0.04, 0}, slopes[] = {0.1, 0.05, 0, -0.1, 0};
  constexpr double kDelta = 1e-6;
  for (int knot = 0; knot <= 4; ++knot) {
    const double phase = knot * kPi / 4;
    EXPECT_NEAR(FootLift(phase), heights[knot], 1e-12);
    if (knot > 0) {
      EXPECT_NEAR((FootLift(phase) - FootLift(phase - kDelta)) / kDelta, slopes[knot], 1e-5) << knot;
    }
    if (knot < 4) {
      EXPECT_NEAR((FootLift(phase + kDelta) - FootLift(phase)) / kDelta, slopes[knot], 1e-5) << knot;
    }
  }
}

TEST(FootLiftTest, IsContinuousAndZeroInStance) {
  for (double phase = 0; phase < 2 * kPi; phase += 1e-3) {
    EXPECT_LT(std::abs(FootLift(phase + 1e-3) - FootLift(phase)), 2e-4) << phase;
    EXPECT_GE(FootLift(phase), 0);
    if (phase > kPi) {
      EXPECT_EQ(FootLift(phase), 0);
    }
  }
}

TEST(TrotGeneratorTest, DiagonalLegsMoveTogetherAndHalfACycleApart) {
  TrotGenerator generator(kPeriod_s, 0);
  int num_swinging = 0;
  for (int step = 0; step < 200; ++step) {
    generator.Step(Standing());
    EXPECT_EQ(generator.Phase(Leg::kFrontLeft), generator.Phase(Leg::kBackRight));
    EXPECT_EQ(generator.Phase(Leg::kFrontRight), generator.Phase(Leg::kBackLeft));
    EXPECT_NEAR(std::cos(generator.Phase(Leg::kFrontLeft) - generator.Phase(Leg::kFrontRight)), -1, 1e-9);
    num_swinging += !generator.InStance(Leg::kFrontLeft);
  }
  EXPECT_NEAR(num_swinging, 100, 6);
}

TEST(TrotGeneratorTest, RepeatsItselfTwoAndAHalfTimesASecond) {
  TrotGenerator generator(kPeriod_s, 0);
  for (int step = 0; step < 40; ++step) {
    generator.Step(Standing());
  }
  EXPECT_NEAR(std::remainder(generator.Phase(Leg::kFrontLeft), 2 * kPi), 0, 1e-9);
}

TEST(TrotGeneratorTest, HeightIsStancePlusShiftPlusLift) {
  Gait gait = Standing();
  gait.shift_m[Index(Leg::kFrontLeft)][2] = 0.02;
  TrotGenerator generator(kPeriod_s, 0);
  for (int step = 0; step < 100; ++step) {
    const PerLeg<Vector3> feet = generator.Step(gait);
    for (const Leg leg : kLegs) {
      const double shift = leg == Leg::kFrontLeft ? 0.02 : 0;
      EXPECT_NEAR(feet[Index(leg)][2], -0.25 + shift + FootLift(generator.Phase(leg)), 1e-12);
    }
  }
}

TEST(TrotGeneratorTest, StanceFeetMoveAgainstTheCommandedVelocity) {
  Gait gait = Standing();
  gait.forward_m_s = 0.4;
  gait.lateral_m_s = -0.1;
  for (const Leg leg : kLegs) {
    TrotGenerator generator(kPeriod_s, 0);
    StepIntoStance(generator, gait, leg);
    while (true) {
      const Vector3 before = generator.feet_m()[Index(leg)];
      const Vector3 after = generator.Step(gait)[Index(leg)];
      if (!generator.InStance(leg)) {
        break;
      }
      EXPECT_NEAR((after[0] - before[0]) / kPeriod_s, -0.4, 1e-9);
      EXPECT_NEAR((after[1] - before[1]) / kPeriod_s, 0.1, 1e-9);
    }
  }
}

TEST(TrotGeneratorTest, YawMovesFeetAroundTheTorsoCentre) {
  Gait gait = Standing();
  gait.yaw_rate_rad_s = 1;
  TrotGenerator generator(kPeriod_s, 0);
  StepIntoStance(generator, gait, Leg::kBackLeft);
  const Vector3 before = generator.feet_m()[Index(Leg::kBackLeft)];
  const Vector3 after = generator.Step(gait)[Index(Leg::kBackLeft)];
  const Vector3 hip = HipOffset(Leg::kBackLeft);
  EXPECT_NEAR((after[0] - before[0]) / kPeriod_s, before[1] + hip[1], 1e-9);
  EXPECT_NEAR((after[1] - before[1]) / kPeriod_s, -(before[0] + hip[0]), 1e-9);
}

TEST(TrotGeneratorTest, SwingEndsHalfAStanceAheadOfTheShiftedRest) {
  Gait gait = Standing();
  gait.forward_m_s = 0.3;
  for (const Leg leg : kLegs) {
    gait.shift_m[Index(leg)][0] = -0.03;
    gait.shift_m[Index(leg)][1] += 0.01;
  }
  for (const Leg leg : kLegs) {
    TrotGenerator generator(kPeriod_s, 0);
    Vector3 last{};
    StepIntoStance(generator, gait, leg);
    while (generator.InStance(leg)) {
      generator.Step(gait);
    }
    while (!generator.InStance(leg)) {
      last = generator.feet_m()[Index(leg)];
      generator.Step(gait);
    }
    EXPECT_NEAR(last[0], 0.3 * 0.2 / 2 - 0.03, 1e-6);
    EXPECT_NEAR(last[1], gait.shift_m[Index(leg)][1], 1e-6);
  }
}

TEST(TrotGeneratorTest, FeetNeverJump) {
  Gait gait = Standing();
  gait.forward_m_s = 0.5;
  gait.yaw_rate_rad_s = 0.5;
  TrotGenerator generator(kPeriod_s, 0);
  PerLeg<Vector3> before = generator.feet_m();
  for (int step = 0; step < 400; ++step) {
    const PerLeg<Vector3> after = generator.Step(gait);
    for (const Leg leg : kLegs) {
      for (int axis = 0; axis < 3; ++axis) {
        EXPECT_LT(std::abs(after[Index(leg)][axis] - before[Index(leg)][axis]), 0.02) << "step " << step;
      }
    }
    before = after;
  }
}

TEST(TrotGeneratorTest, GaitFollowsWithinAboutAStance) {
  Gait gait = Standing();
  gait.shift_m[1][2] = 0.05;
  gait.forward_m_s = 0.4;
  TrotGenerator generator(kPeriod_s);
  for (int step = 0; step < 20; ++step) {
    generator.Step(gait);
  }
  EXPECT_NEAR(generator.state().gait.forward_m_s, 0.4 * (1 - std::exp(-1)), 1e-9);
  EXPECT_NEAR(generator.state().gait.shift_m[1][2], 0.05 * (1 - std::exp(-1)), 1e-9);
}

TEST(TrotGeneratorTest, FeetStayCalmUnderNoise) {
  Random random(1);
  TrotGenerator smooth(kPeriod_s), direct(kPeriod_s, 0);
  double smooth_steps = 0, direct_steps = 0;
  for (int step = 0; step < 400; ++step) {
    std::array<double, kActionSize> action;
    for (double& value : action) {
      value = random.Uniform(-1, 1);
    }
    for (auto& [generator, sum] : {std::pair(&smooth, &smooth_steps), std::pair(&direct, &direct_steps)}) {
      const double before = generator->feet_m()[0][2], lift = FootLift(generator->Phase(Leg::kFrontLeft));
      const double after = generator->Step(GaitFromAction(action))[0][2];
      *sum += std::abs(after - before - FootLift(generator->Phase(Leg::kFrontLeft)) + lift);
    }
  }
  EXPECT_LT(smooth_steps, direct_steps / 10);
}

TEST(TrotGeneratorTest, ResetForgetsPhaseAndFeet) {
  TrotGenerator used(kPeriod_s), fresh(kPeriod_s);
  Gait gait = Standing();
  gait.forward_m_s = 0.5;
  for (int step = 0; step < 33; ++step) {
    used.Step(gait);
  }
  ASSERT_NE(used.feet_m(), fresh.feet_m());
  used.Reset();
  EXPECT_EQ(used.feet_m(), fresh.feet_m());
  EXPECT_EQ(used.Step(gait), fresh.Step(gait));
}

TEST(TrotGeneratorTest, ContinuesFromASavedState) {
  TrotGenerator original(kPeriod_s), copy(kPeriod_s);
  Gait gait = Standing();
  gait.lateral_m_s = 0.2;
  for (int step = 0; step < 57; ++step) {
    original.Step(gait);
  }
  copy.set_state(original.state());
  EXPECT_EQ(copy.Step(gait), original.Step(gait));
}

TEST(TrotGeneratorTest, AStepWithItsKinematicsAllocatesNothing) {
  TrotGenerator generator(kPeriod_s, 0);
  const std::array<double, kActionSize> action{};
  const int64_t before = NumAllocations();
  for (int step = 0; step < 100; ++step) {
    const PerLeg<Vector3>& feet = generator.Step(GaitFromAction(action));
    for (const Leg leg : kLegs) {
      SolveLeg(leg, feet[Index(leg)]);
    }
  }
  EXPECT_EQ(NumAllocations(), before);
}

}  // namespace
}  // namespace demorl::stochlite
