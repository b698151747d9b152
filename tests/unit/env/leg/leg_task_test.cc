#include "common/env/tasks/leg/leg_task.h"

#include <cmath>
#include <limits>
#include <numbers>
#include <optional>
#include <vector>

#include "common/env/tasks/leg/leg_variants.h"
#include "gmock/gmock.h"
#include "tests/testing/counting_allocator.h"
#include "tests/testing/status_matchers.h"

namespace demorl {
namespace {

using ::demorl::testing::StatusIs;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::FloatNear;
using ::testing::HasSubstr;

constexpr double kPi = std::numbers::pi;

double Distance(const LegVector& a, const LegVector& b) { return std::hypot(a[0] - b[0], a[1] - b[1]); }

LegVector Plus(const LegVector& a, const LegVector& b, double scale = 1) {
  return {a[0] + scale * b[0], a[1] + scale * b[1]};
}

// The state in which the foot is just where it should be.
LegState OnThePath(const LegTask& task) {
  LegState state;
  state.joint_position_rad = *task.kinematics().JointPositions(task.DesiredFootPosition());
  const auto j = task.kinematics().FootJacobian(state.joint_position_rad);
  const LegVector v = task.DesiredFootVelocity();
  const double determinant = j[0][0] * j[1][1] - j[0][1] * j[1][0];
  state.joint_velocity_rad_s = {(j[1][1] * v[0] - j[0][1] * v[1]) / determinant,
                                (j[0][0] * v[1] - j[1][0] * v[0]) / determinant};
  return state;
}

TEST(LegKinematicsTest, HangsStraightDownAtZeroAndSwingsBackwardWithPositiveAngles) {
  const LegKinematics leg({0.3, 0.2}, KneeBend::kBackward);
  EXPECT_THAT(leg.FootPosition({0, 0}), ElementsAre(::testing::DoubleEq(0), ::testing::DoubleEq(-0.5)));
  EXPECT_LT(Distance(leg.FootPosition({kPi / 2, 0}), {-0.5, 0}), 1e-15);
  EXPECT_LT(Distance(leg.FootPosition({0, -kPi / 2}), {0.2, -0.3}), 1e-15);
}

TEST(LegKinematicsTest, JointPositionsAndFootPositionInvertEachOtherOverThePath) {
  for (const KneeBend bend : {KneeBend::kBackward, KneeBend::kForward}) {
    const LegKinematics leg({0.297, 0.28}, bend);
    const FootPath path(0.16, -0.44, 0.1);
    for (double phase = 0; phase < 2 * kPi; phase += 0.01) {
      const LegVector foot = path.PositionAt(phase);
      const std::optional<LegVector> joints = leg.JointPositions(foot);
      ASSERT_TRUE(joints.has_value());
      EXPECT_LT(Distance(leg.FootPosition(*joints), foot), 1e-14) << phase;
      EXPECT_EQ((*joints)[1] > 0, bend == KneeBend::kForward);
      EXPECT_LT(Distance(*leg.JointPositions(leg.FootPosition(*joints)), *joints), 1e-13);
    }
  }
}

TEST(LegKinematicsTest, NoJointPositionsOutOfReachOrForNonFinitePlaces) {
  const LegKinematics leg({0.297, 0.28}, KneeBend::kBackward);
  EXPECT_TRUE(leg.JointPositions({0, -0.5769}).has_value());
  EXPECT_FALSE(leg.JointPositions({0, -0.5771}).has_value());
  EXPECT_FALSE(leg.JointPositions({0.01, 0}).has_value());
  EXPECT_FALSE(leg.JointPositions({std::nan(""), -0.4}).has_value());
}

TEST(LegKinematicsTest, JacobianIsTheDerivativeOfTheFootPosition) {
  const LegKinematics leg({0.297, 0.28}, KneeBend::kBackward);
  constexpr double kStep = 1e-6;
  for (double hip = -1.5; hip < 1.6; hip += 0.3) {
    for (double knee = -2.6; knee < 0; knee += 0.3) {
      const auto jacobian = leg.FootJacobian({hip, knee});
      for (const int joint : {0, 1}) {
        LegVector unit{};
        unit[joint] = kStep;
        const LegVector ahead = leg.FootPosition(Plus({hip, knee}, unit));
        const LegVector behind = leg.FootPosition(Plus({hip, knee}, unit, -1));
        for (const int axis : {0, 1}) {
          EXPECT_NEAR(jacobian[axis][joint], (ahead[axis] - behind[axis]) / (2 * kStep), 1e-9);
        }
      }
      const LegVector velocity = leg.FootVelocity({hip, knee}, {2, -3});
      EXPECT_NEAR(velocity[0], 2 * jacobian[0][0] - 3 * jacobian[0][1], 1e-14);
      EXPECT_NEAR(velocity[1], 2 * jacobian[1][0] - 3 * jacobian[1][1], 1e-14);
    }
  }
}

TEST(FootPathTest, PassesThroughItsKnownPoints) {
  const FootPath path(0.16, -0.44, 0.1);
  EXPECT_LT(Distance(path.PositionAt(0), {0.16, -0.44}), 1e-15);
  EXPECT_LT(Distance(path.PositionAt(kPi / 2), {0, -0.44}), 1e-15);
  EXPECT_LT(Distance(path.PositionAt(kPi), {-0.16, -0.44}), 1e-15);
  EXPECT_LT(Distance(path.PositionAt(1.5 * kPi), {0, -0.34}), 1e-15);
  EXPECT_LT(Distance(path.VelocityAt(kPi / 2, 2), {-0.32, 0}), 1e-15);
  EXPECT_LT(Distance(path.VelocityAt(1.5 * kPi, 2), {0.32, 0}), 1e-15);
}

TEST(FootPathTest, IsContinuousAroundTheWholeCycle) {
  const FootPath path(0.16, -0.44, 0.1);
  constexpr double kStep = 1e-4;
  for (double phase = 0; phase < 2 * kPi; phase += kStep) {
    EXPECT_LT(Distance(path.PositionAt(phase), path.PositionAt(std::fmod(phase + kStep, 2 * kPi))),
              0.17 * kStep);
  }
}

TEST(FootPathTest, VelocityIsTheDerivativeOfThePositionAwayFromTheCorners) {
  const FootPath path(0.16, -0.44, 0.1);
  constexpr double kStep = 1e-6, kRate = 3;
  for (double phase = 0.005; phase < 2 * kPi; phase += 0.01) {
    const LegVector ahead = path.PositionAt(phase + kStep), behind = path.PositionAt(phase - kStep);
    const LegVector slope = {(ahead[0] - behind[0]) / (2 * kStep), (ahead[1] - behind[1]) / (2 * kStep)};
    EXPECT_LT(Distance(path.VelocityAt(phase, kRate), {kRate * slope[0], kRate * slope[1]}), 1e-8) << phase;
  }
}

TEST(LegTaskTest, PhaseAdvancesByFrequencyTimesControlPeriodAndWraps) {
  LegParameters parameters;
  parameters.path_frequency_hz = 0.7;  // no whole number of steps in a cycle
  LegTask task(parameters);
  for (int step = 1; step <= 3000; ++step) {
    task.Advance();
    const double expected = 2 * kPi * 0.7 * 0.002 * step;
    ASSERT_NEAR(std::remainder(task.memory().phase - expected, 2 * kPi), 0, 1e-9) << step;
    ASSERT_GE(task.memory().phase, 0);
    ASSERT_LT(task.memory().phase, 2 * kPi);
    ASSERT_EQ(task.memory().elapsed_steps, step);
  }
}

TEST(LegTaskTest, RewardIsOneOnThePathAndFallsAsEquation15Says) {
  LegParameters parameters;
  parameters.position_scale_m = 0.2;
  parameters.velocity_scale_m_s = 0.4;
  LegTask task(parameters);
  for (int step = 0; step < 137; ++step) {
    task.Advance();
  }
  EXPECT_NEAR(task.Evaluate(OnThePath(task)).reward, 1, 1e-12);

  LegState still = OnThePath(task);
  still.joint_velocity_rad_s = {0, 0};
  const LegVector v = task.DesiredFootVelocity();
  EXPECT_NEAR(task.Evaluate(still).reward, 0.8 + 0.2 * std::exp(-(v[0] * v[0] + v[1] * v[1]) / 0.16), 1e-12);

  LegState away = still;
  away.joint_position_rad = *task.kinematics().JointPositions(Plus(task.DesiredFootPosition(), {0.03, 0.04}));
  EXPECT_NEAR(task.Evaluate(away).reward,
              0.8 * std::exp(-0.0025 / 0.04) + 0.2 * std::exp(-(v[0] * v[0] + v[1] * v[1]) / 0.16), 1e-12);
}

TEST(LegTaskTest, LiteralRewardHasScalesOfOne) {
  ASSERT_OK_AND_ASSIGN(const LegParameters parameters, FindLegParameters("Leg2RLiteral-v0"));
  const LegTask task(parameters);
  LegState state;
  state.joint_position_rad = *task.kinematics().JointPositions({0.06, -0.44});  // 10 cm off
  EXPECT_NEAR(task.Evaluate(state).reward, 0.8 * std::exp(-0.01) + 0.2, 1e-12);
}

TEST(LegTaskTest, TorqueIsTheClippedActionTimesTheLimit) {
  LegParameters parameters;
  parameters.max_joint_torque_nm = {2, 3};
  LegTask task(parameters);
  EXPECT_THAT(task.JointTorques({0.25, -0.5}), ElementsAre(0.5, -1.5));
  EXPECT_THAT(task.JointTorques({7, -7}), ElementsAre(2, -3));
}

TEST(LegTaskTest, AuthorsTorqueIsTheMeanOfTheLastTwoClippedActions) {
  LegParameters parameters;
  parameters.mean_of_two_actions = true;
  LegTask task(parameters);
  EXPECT_THAT(task.JointTorques({1, 0.5}), ElementsAre(1, 0.5));
  EXPECT_THAT(task.JointTorques({3, -0.5}), ElementsAre(2, 0));
  EXPECT_THAT(task.JointTorques({0, 0}), ElementsAre(1, -0.5));
  task.Reset();
  EXPECT_THAT(task.JointTorques({1, 1}), ElementsAre(1, 1));
}

TEST(LegTaskTest, ObservationsHaveTheirFormsInBothPrecisions) {
  const LegState state = {{0.5, -1.5}, {2, -3}};
  const auto observe = [&](LegObservation form) {
    LegParameters parameters;
    parameters.observation = form;
    LegTask task(parameters);
    task.JointTorques({0.25, -4});
    task.Advance();
    std::vector<double> doubles(parameters.observation_size());
    std::vector<float> floats(parameters.observation_size());
    task.Observe(state, doubles);
    task.Observe(state, floats);
    EXPECT_EQ(floats, std::vector<float>(doubles.begin(), doubles.end()));
    return floats;
  };
  const float phase = 0.004f * std::numbers::pi_v<float>;
  const LegVector foot = LegKinematics({0.297, 0.28}, KneeBend::kBackward).FootPosition({0.5, -1.5});
  EXPECT_THAT(observe(LegObservation::kTracking),
              ElementsAre(FloatNear(std::cos(phase), 1e-6), FloatNear(std::sin(phase), 1e-6), 0.5f, -1.5f,
                          0.4f, -0.6f, FloatNear(10 * (foot[0] - 0.16 * std::cos(phase)), 1e-5),
                          FloatNear(10 * (foot[1] + 0.44), 1e-5)));
  EXPECT_THAT(observe(LegObservation::kAuthors),
              ElementsAre(FloatNear(phase, 1e-6), 0.5f, -1.5f, 2, -3, 0.25f, -1));
  EXPECT_THAT(observe(LegObservation::kWithoutAction),
              ElementsAre(FloatNear(phase, 1e-6), 0.5f, -1.5f, 2, -3));
  EXPECT_THAT(observe(LegObservation::kPositions), ElementsAre(FloatNear(phase, 1e-6), 0.5f, -1.5f));
}

TEST(LegTaskTest, TerminatesWhereTheFootIsTooFarFromItsPoint) {
  LegTask task({});
  const LegVector start = task.DesiredFootPosition();
  const auto terminated = [&](const LegVector& offset) {
    return task.Evaluate({*task.kinematics().JointPositions(Plus(start, offset)), {}}).terminated;
  };
  EXPECT_FALSE(terminated({0, 0}));
  EXPECT_FALSE(terminated({-0.1999, 0}));
  EXPECT_TRUE(terminated({-0.2001, 0}));
  EXPECT_FALSE(terminated({0, 0.1999}));
  EXPECT_TRUE(terminated({0, 0.2001}));
}

TEST(LegTaskTest, TerminatesWhereAJointIsOutOfItsRange) {
  LegParameters parameters;
  parameters.max_foot_error_m = 10;
  const LegTask task(parameters);
  const auto terminated = [&](const LegVector& joints) { return task.Evaluate({joints, {}}).terminated; };
  EXPECT_FALSE(terminated({1.57, -0.201}));
  EXPECT_TRUE(terminated({1.571, -0.5}));
  EXPECT_TRUE(terminated({-1.571, -0.5}));
  EXPECT_TRUE(terminated({0, -0.199}));
  EXPECT_TRUE(terminated({0, -2.601}));
  EXPECT_TRUE(terminated({std::numeric_limits<double>::quiet_NaN(), -1}));
}

TEST(LegTaskTest, AuthorsTerminationWaits) {
  ASSERT_OK_AND_ASSIGN(const LegParameters parameters, FindLegParameters("Leg2RAuthors-v0"));
  LegTask task(parameters);
  const LegState hanging = {{0.1, -0.3}, {}};
  for (int step = 0; step < 449; ++step) {
    task.Advance();
    ASSERT_FALSE(task.Evaluate(hanging).terminated) << step;
  }
  task.Advance();
  EXPECT_TRUE(task.Evaluate(hanging).terminated);
}

TEST(LegTaskTest, ControlStepAllocatesNothing) {
  if (!CountsAllocations()) {
    GTEST_SKIP() << "the allocator is the sanitizer's";
  }
  for (const LegVariant& variant : LegVariants()) {
    LegTask task(variant.parameters);
    std::vector<float> observation(variant.parameters.observation_size());
    const LegState state = {{0.5, -1.5}, {2, -3}};
    double sum = 0;
    const int64_t before = NumAllocations();
    for (int step = 0; step < 600; ++step) {
      task.Observe(state, observation);
      sum += task.JointTorques({observation[0], -2})[0];
      task.Advance();
      sum += task.Evaluate(state).reward;
    }
    task.Reset();
    EXPECT_EQ(NumAllocations(), before) << variant.environment_id;
    EXPECT_TRUE(std::isfinite(sum));
  }
}

TEST(LegTaskTest, RestoredMemoryContinues) {
  LegTask original({}), copy({});
  for (int step = 0; step < 77; ++step) {
    original.JointTorques({0.01 * step, -0.5});
    original.Advance();
  }
  copy.RestoreMemory(original.memory());
  EXPECT_EQ(copy.memory(), original.memory());
  EXPECT_EQ(copy.DesiredFootPosition(), original.DesiredFootPosition());
  copy.Reset();
  EXPECT_NE(copy.memory(), original.memory());
}

TEST(LegParametersTest, AllVariantsAreValidAndUnknownIdsNameThem) {
  for (const LegVariant& variant : LegVariants()) {
    EXPECT_OK(Validate(variant.parameters)) << variant.environment_id;
    EXPECT_OK(FindLegParameters(variant.environment_id));
  }
  EXPECT_THAT(FindLegParameters("Leg2R-v1"),
              StatusIs(absl::StatusCode::kNotFound, AllOf(HasSubstr("Leg2R-v1"), HasSubstr("Leg2R-v0"))));
}

TEST(LegParametersTest, WhatCannotBeIsRefusedByName) {
  const auto refused = [](auto change, const char* name) {
    LegParameters parameters;
    change(parameters);
    EXPECT_THAT(Validate(parameters), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(name)));
  };
  refused([](LegParameters& p) { p.link_length_m[1] = 0; }, "link_length_m");
  refused([](LegParameters& p) { p.link_mass_kg[0] = -1; }, "link_mass_kg");
  refused([](LegParameters& p) { p.position_scale_m = std::nan(""); }, "position_scale_m");
  refused([](LegParameters& p) { p.control_period = absl::ZeroDuration(); }, "control_period");
  refused([](LegParameters& p) { p.path_frequency_hz = 300; }, "path_frequency_hz");
  refused([](LegParameters& p) { p.viscous_friction_nm_s_rad = -0.1; }, "viscous_friction_nm_s_rad");
  refused([](LegParameters& p) { p.path_half_length_m = 0.4; }, "out of reach");
  refused([](LegParameters& p) { p.knee_bend = KneeBend::kForward; }, "knee");
}

}  // namespace
}  // namespace demorl
