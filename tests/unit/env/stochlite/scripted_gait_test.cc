// What the simulated robot does under gaits written by hand.
#include <cmath>
#include <numbers>
#include <vector>

#include "common/env/tasks/stochlite/stochlite_environment.h"
#include "gmock/gmock.h"
#include "tests/unit/env/stochlite/quadruped_walk.h"

namespace demorl::stochlite {
namespace {

constexpr double kDegree = std::numbers::pi / 180;

TwinOptions OnSlope(double roll_deg, double pitch_deg) {
  TwinOptions options;
  options.randomisation.slope = {.roll_rad = roll_deg * kDegree, .pitch_rad = pitch_deg * kDegree};
  return options;
}

struct Script {
  double forward = 1;
  double x_shift = 0;
  double y_shift = 0;
  // Action per radian that the heading is off.
  double heading_gain = 0;
};

Walk RunScript(const TwinOptions& options, const Script& script, int num_steps = 1000, uint64_t seed = 3) {
  auto environment = *StochLiteEnvironment::Create(TwinSpec("test", options.observation), seed, options);
  return RunWalk(*environment, num_steps, [&](const TaskState& state) {
    std::vector<double> action(kActionSize);
    std::fill_n(action.begin(), 4, script.x_shift);
    std::fill_n(action.begin() + 4, 4, script.y_shift);
    action[12] = script.forward;
    action[14] = -script.heading_gain * state.attitude.yaw_rad;
    return action;
  });
}

TEST(ScriptedGaitTest, ConstantActionWalksTwoMetresOnLevelGround) {
  const Walk walk = RunScript(OnSlope(0, 0), {});
  EXPECT_FALSE(walk.terminated);
  EXPECT_GT(walk.forward_m, 2);
  EXPECT_LT(std::abs(walk.sideways_m), 1.5);
  EXPECT_GT(walk.min_height_m, 0.24);
  EXPECT_LT(walk.max_height_m, 0.27);
}

TEST(ScriptedGaitTest, ConstantActionWalksTwoMetresDownNineDegrees) {
  const Walk walk = RunScript(OnSlope(0, 9), {});
  EXPECT_FALSE(walk.terminated);
  EXPECT_GT(walk.forward_m, 2);
}

TEST(ScriptedGaitTest, WithFeetFurtherBackAndItsHeadingHeldWalksTwoMetresUpNineDegrees) {
  const Walk walk = RunScript(OnSlope(0, -9), {.x_shift = -0.4, .heading_gain = 2});
  EXPECT_FALSE(walk.terminated);
  EXPECT_GT(walk.forward_m, 2);
}

TEST(ScriptedGaitTest, WithFeetDownhillConstantActionWalksTwoMetresAcrossNineDegrees) {
  for (const double side : {-1.0, 1.0}) {
    const Walk walk = RunScript(OnSlope(side * 9, 0), {.y_shift = -0.4 * side});
    EXPECT_FALSE(walk.terminated);
    EXPECT_GT(walk.forward_m, 2);
  }
}

TEST(ScriptedGaitTest, WalksBackwardsToo) {
  const Walk walk = RunScript(OnSlope(0, 0), {.forward = -1});
  EXPECT_FALSE(walk.terminated);
  EXPECT_LT(walk.forward_m, -2);
}

TEST(ScriptedGaitTest, MarkingTimeStaysInPlace) {
  const Walk walk = RunScript(OnSlope(0, 0), {.forward = 0});
  EXPECT_FALSE(walk.terminated);
  EXPECT_LT(std::hypot(walk.forward_m, walk.sideways_m), 0.2);
}

TEST(ScriptedGaitTest, WalkingAsCommandedPaysMoreThanMarkingTime) {
  // The command is 0.5 m/s forward.
  const double walking = RunScript(OnSlope(0, 0), {.heading_gain = 2}).mean_reward;
  const double marking_time = RunScript(OnSlope(0, 0), {.forward = 0}).mean_reward;
  const double backwards = RunScript(OnSlope(0, 0), {.forward = -1}).mean_reward;
  EXPECT_GT(walking, marking_time + 3);
  EXPECT_GT(walking, backwards + 3);
}

TEST(ScriptedGaitTest, SlopeIsEstimatedFromTheFeet) {
  for (const double pitch : {-9.0, 0.0, 9.0}) {
    EXPECT_LT(RunScript(OnSlope(0, pitch), {.forward = 0.4, .x_shift = pitch / 20, .heading_gain = 2})
                  .plane_error_rad,
              0.03)
        << pitch;
  }
}

TEST(ScriptedGaitTest, TwentySimulationStepsWalkLikeTheAuthorsFifty) {
  for (const double pitch : {0.0, 5.0}) {
    TwinOptions coarse = OnSlope(0, pitch), fine = coarse;
    fine.simulation_steps = 50;
    const Walk walk = RunScript(coarse, {.heading_gain = 2}),
               reference = RunScript(fine, {.heading_gain = 2});
    ExpectSameWalk(walk, reference, 0.05, 0.003);
  }
}

TEST(ScriptedGaitTest, WalksWithTheInertiasOfTheUrdfToo) {
  TwinOptions options = OnSlope(0, 0);
  options.urdf_inertias = true;
  const Walk walk = RunScript(options, {.heading_gain = 2});
  EXPECT_FALSE(walk.terminated);
  EXPECT_GT(walk.forward_m, 2);
}

}  // namespace
}  // namespace demorl::stochlite
