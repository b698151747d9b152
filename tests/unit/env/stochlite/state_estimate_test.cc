// The estimate against the simulated robot, which knows the truth.
#include "common/env/tasks/stochlite/state_estimate.h"

#include <cmath>
#include <iostream>
#include <numbers>
#include <string>
#include <vector>

#include "common/env/tasks/stochlite/stochlite_environment.h"
#include "gmock/gmock.h"
#include "tests/testing/status_matchers.h"

namespace demorl::stochlite {
namespace {

constexpr double kDegree = std::numbers::pi / 180;
constexpr PerLeg<bool> kAll = {true, true, true, true};

// What the simulated robot's encoders and IMU would say.
BodyReading ReadingOf(const StochLiteEnvironment& environment) {
  const double* position = environment.data().qpos + 7;
  const double* velocity = environment.data().qvel + 6;
  BodyReading reading;
  for (const Leg leg : kLegs) {
    const int first = 3 * Index(leg);
    reading.joints[Index(leg)] = {position[first], position[first + 1], position[first + 2]};
    reading.joint_rates[Index(leg)] = {velocity[first], velocity[first + 1], velocity[first + 2]};
  }
  reading.attitude = AttitudeFromQuaternion(std::span<const double, 4>(environment.data().qpos + 3, 4));
  std::copy_n(environment.data().qvel + 3, 3, reading.angular_velocity_rad_s.begin());
  return reading;
}

PerLeg<bool> FirmStance(const TrotGenerator& generator) {
  PerLeg<bool> firm;
  for (const Leg leg : kLegs) {
    firm[Index(leg)] = generator.InFirmStance(leg);
  }
  return firm;
}

struct Errors {
  int num_steps = 0;
  double height_rms_m = 0;
  double height_max_m = 0;
  Vector3 velocity_rms_m_s{};
  Vector3 velocity_mean_m_s{};
  double plane_mean_rad = 0;
};

struct Script {
  PlaneAngles slope;
  double forward = 1;
  double x_shift = 0;
  double y_shift = 0;
  // The IMU tells what was a control period ago.
  bool late_imu = false;
};

// A walk of ten seconds under a gait by hand that holds its heading.
Errors Walk(const Script& script) {
  TwinOptions options;
  options.randomisation.slope = script.slope;
  auto environment = *StochLiteEnvironment::Create(TwinSpec("test", options.observation), 3, options);
  environment->Reset();
  StateEstimate estimate(kControlPeriod_s);
  estimate.Reset(ReadingOf(*environment));
  Errors errors;
  BodyReading last = ReadingOf(*environment);
  for (Timestep timestep; timestep.step_type != StepType::kLast; ++errors.num_steps) {
    std::vector<double> action(kActionSize);
    std::fill_n(action.begin(), 4, script.x_shift);
    std::fill_n(action.begin() + 4, 4, script.y_shift);
    action[12] = script.forward;
    action[14] = -2 * environment->task_state().attitude.yaw_rad;
    timestep = environment->Step(action);
    BodyReading reading = ReadingOf(*environment);
    const BodyReading now = reading;
    if (script.late_imu) {
      reading.attitude = last.attitude;
      reading.angular_velocity_rad_s = last.angular_velocity_rad_s;
    }
    last = now;
    estimate.Update(reading, FirmStance(environment->generator()));
    const TaskState& truth = environment->task_state();
    const double height_error = estimate.height_m() - truth.height_m;
    errors.height_rms_m += height_error * height_error;
    errors.height_max_m = std::max(errors.height_max_m, std::abs(height_error));
    const Vector3 velocity = TurnAboutVertical(estimate.velocity_m_s(), truth.attitude.yaw_rad);
    for (int axis = 0; axis < 3; ++axis) {
      const double error = velocity[axis] - truth.velocity_m_s[axis];
      errors.velocity_rms_m_s[axis] += error * error;
      errors.velocity_mean_m_s[axis] += error;
    }
    errors.plane_mean_rad += std::hypot(estimate.plane().roll_rad - script.slope.roll_rad,
                                        estimate.plane().pitch_rad - script.slope.pitch_rad);
  }
  errors.height_rms_m = std::sqrt(errors.height_rms_m / errors.num_steps);
  for (int axis = 0; axis < 3; ++axis) {
    errors.velocity_rms_m_s[axis] = std::sqrt(errors.velocity_rms_m_s[axis] / errors.num_steps);
    errors.velocity_mean_m_s[axis] /= errors.num_steps;
  }
  errors.plane_mean_rad /= errors.num_steps;
  return errors;
}

struct NamedScript {
  std::string name;
  Script script;

  friend void PrintTo(const NamedScript& script, std::ostream* out) { *out << script.name; }
};

class StateEstimateWalkTest : public ::testing::TestWithParam<NamedScript> {};

TEST_P(StateEstimateWalkTest, IsWithinMillimetresAndATenthOfAMetreASecondOfTheTruth) {
  const Errors errors = Walk(GetParam().script);
  const auto& rms = errors.velocity_rms_m_s;
  std::cout << "height rms " << 1e3 * errors.height_rms_m << " mm, at most " << 1e3 * errors.height_max_m
            << " mm; velocity rms " << rms[0] << " " << rms[1] << " " << rms[2] << ", mean error "
            << errors.velocity_mean_m_s[0] << " " << errors.velocity_mean_m_s[1] << " "
            << errors.velocity_mean_m_s[2] << " m/s; plane " << errors.plane_mean_rad / kDegree << " deg\n";
  EXPECT_EQ(errors.num_steps, 1000);
  EXPECT_LT(errors.height_rms_m, 0.002);
  EXPECT_LT(errors.height_max_m, 0.012);
  const bool late = GetParam().script.late_imu;
  EXPECT_LT(rms[0], late ? 0.16 : 0.12);
  EXPECT_LT(rms[1], late ? 0.1 : 0.08);
  EXPECT_LT(rms[2], 0.09);
  EXPECT_LT(std::abs(errors.velocity_mean_m_s[0]), 0.06);
  EXPECT_LT(std::abs(errors.velocity_mean_m_s[1]), 0.03);
  EXPECT_LT(std::abs(errors.velocity_mean_m_s[2]), 0.02);
  EXPECT_LT(errors.plane_mean_rad, 1.7 * kDegree);
}

INSTANTIATE_TEST_SUITE_P(
    Slopes, StateEstimateWalkTest,
    ::testing::Values(NamedScript{"Level", {}}, NamedScript{"LevelAtHalfSpeed", {.forward = 0.5}},
                      NamedScript{"FiveDegreesUp", {.slope = {.pitch_rad = -5 * kDegree}, .x_shift = -0.2}},
                      NamedScript{"NineDegreesUp", {.slope = {.pitch_rad = -9 * kDegree}, .x_shift = -0.4}},
                      NamedScript{"NineDegreesDown", {.slope = {.pitch_rad = 9 * kDegree}, .forward = 0.5}},
                      NamedScript{"LevelWithALateImu", {.late_imu = true}},
                      NamedScript{"NineDegreesUpWithALateImu",
                                  {.slope = {.pitch_rad = -9 * kDegree}, .x_shift = -0.4, .late_imu = true}},
                      NamedScript{"NineDegreesAcross",
                                  {.slope = {.roll_rad = 9 * kDegree}, .y_shift = -0.4}}),
    [](const auto& info) { return info.param.name; });

TEST(StateEstimateTest, StandingOnASlopeItKnowsHeightAndSlopeAtOnce) {
  TwinOptions options;
  options.randomisation.slope = {.roll_rad = 4 * kDegree, .pitch_rad = -7 * kDegree};
  auto environment = *StochLiteEnvironment::Create(TwinSpec("test", options.observation), 1, options);
  environment->Reset();
  StateEstimate estimate(kControlPeriod_s);
  estimate.Reset(ReadingOf(*environment));
  EXPECT_NEAR(estimate.height_m(), environment->task_state().height_m, 0.004);
  EXPECT_NEAR(estimate.plane().roll_rad, 4 * kDegree, 0.021);
  EXPECT_NEAR(estimate.plane().pitch_rad, -7 * kDegree, 0.021);
}

// Legs as at rest, on level ground.
BodyReading Standing() {
  BodyReading reading;
  for (const Leg leg : kLegs) {
    reading.joints[Index(leg)] = SolveLeg(leg, {0, IsLeft(leg) ? 0.05 : -0.05, -0.25});
  }
  return reading;
}

TEST(StateEstimateTest, FeetThatMoveBackMeanATorsoThatMovesForward) {
  BodyReading reading = Standing();
  StateEstimate estimate(kControlPeriod_s);
  estimate.Reset(reading);
  EXPECT_NEAR(estimate.height_m(), 0.255, 1e-9);
  for (const Leg leg : kLegs) {
    // All feet at 0.3 m/s to the back, by numbers.
    const LegJoints ahead = SolveLeg(leg, {-3e-7, IsLeft(leg) ? 0.05 : -0.05, -0.25});
    const LegJoints& joints = reading.joints[Index(leg)];
    reading.joint_rates[Index(leg)] = {(ahead.abduction_rad - joints.abduction_rad) * 1e6,
                                       (ahead.hip_rad - joints.hip_rad) * 1e6,
                                       (ahead.knee_rad - joints.knee_rad) * 1e6};
  }
  for (int i = 0; i < 20; ++i) {
    estimate.Update(reading, kAll);
  }
  EXPECT_NEAR(estimate.velocity_m_s()[0], 0.3, 1e-3);
  EXPECT_NEAR(estimate.velocity_m_s()[1], 0, 1e-6);
}

TEST(StateEstimateTest, ATorsoThatTiltsOverStandingFeetMoves) {
  BodyReading reading = Standing();
  StateEstimate estimate(kControlPeriod_s);
  estimate.Reset(reading);
  // Pitching forward with legs that do not move: the torso goes forward over its feet.
  reading.angular_velocity_rad_s = {0, 1, 0};
  for (int i = 0; i < 20; ++i) {
    estimate.Update(reading, kAll);
  }
  EXPECT_NEAR(estimate.velocity_m_s()[0], 0.255, 1e-3);
}

TEST(StateEstimateTest, ARaisedFootDoesNotCount) {
  BodyReading reading = Standing();
  StateEstimate estimate(kControlPeriod_s);
  estimate.Reset(reading);
  reading.joints[0] = SolveLeg(Leg::kFrontLeft, {0, 0.05, -0.21});
  reading.joint_rates[0] = {3, -4, 5};
  for (int i = 0; i < 20; ++i) {
    estimate.Update(reading, {false, true, true, false});
  }
  EXPECT_NEAR(estimate.height_m(), 0.255, 1e-5);
  EXPECT_NEAR(estimate.velocity_m_s()[0], 0, 1e-5);
}

}  // namespace
}  // namespace demorl::stochlite
