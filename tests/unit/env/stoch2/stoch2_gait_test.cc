// What the simulated robot does under gaits written by hand.
#include <cmath>
#include <numbers>
#include <vector>

#include "common/env/tasks/stoch2/foot_path.h"
#include "common/env/tasks/stoch2/stoch2_environment.h"
#include "gmock/gmock.h"
#include "tests/unit/env/stochlite/quadruped_walk.h"

namespace demorl::stoch2 {
namespace {

using stochlite::ExpectSameWalk;
using stochlite::Walk;

constexpr double kDegree = std::numbers::pi / 180;

// An action of the same path for all feet, but for the steps.
struct Script {
  double step = 0.5;
  double up = -1;
  double forward = 0;
  double outward = 0;
  // How much longer steps of the left and shorter ones of the right become per radian to the left.
  double heading_gain = 0;
};

std::vector<double> ActionOf(const Script& script, double yaw_rad) {
  std::vector<double> action;
  for (const Leg leg : kActionLegs) {
    action.push_back(script.step + (IsLeft(leg) ? 1 : -1) * script.heading_gain * yaw_rad);
  }
  for (const double value : {0.0, script.up, script.forward, script.outward}) {
    action.insert(action.end(), kNumLegs, value);
  }
  return action;
}

Walk RunScript(const TwinOptions& options, const Script& script, int num_steps = 1200, uint64_t seed = 3) {
  EnvironmentSpec spec = TwinSpec("test");
  spec.max_episode_steps = num_steps;
  auto environment = *Stoch2Environment::Create(spec, seed, options);
  return RunWalk(*environment, num_steps,
                 [&](const TaskState& state) { return ActionOf(script, state.attitude.yaw_rad); });
}

TwinOptions OnSlope(double rise_deg) {
  TwinOptions options;
  options.randomisation.inclines_rad = {rise_deg * kDegree};
  return options;
}

TEST(HandTunedGaitTest, WalksTwoMetresOnLevelGround) {
  const Walk walk = RunScript(OnSlope(0), {.heading_gain = 4});
  EXPECT_FALSE(walk.terminated);
  EXPECT_GT(walk.forward_m, 2.2);
  EXPECT_LT(std::abs(walk.sideways_m), 0.3);
  EXPECT_GT(walk.min_height_m, 0.22);
  EXPECT_LT(walk.max_height_m, 0.25);
}

TEST(HandTunedGaitTest, WalksTwoMetresUpNineDegreesWithFeetFurtherBack) {
  const Walk walk = RunScript(OnSlope(9), {.step = 0.8, .forward = -1, .heading_gain = 4});
  EXPECT_FALSE(walk.terminated);
  EXPECT_GT(walk.forward_m, 2);
}

TEST(HandTunedGaitTest, WalksTwoMetresDownNineDegreesWithFeetFurtherForward) {
  const Walk walk = RunScript(OnSlope(-9), {.forward = 0.5});
  EXPECT_FALSE(walk.terminated);
  EXPECT_GT(walk.forward_m, 2);
}

TEST(HandTunedGaitTest, TurnsAwayOnASlopeWhereTheHeadingIsNotHeld) {
  EXPECT_GT(std::abs(RunScript(OnSlope(9), {.forward = -0.5}).yaw_rad), 0.8);
  EXPECT_LT(std::abs(RunScript(OnSlope(9), {.forward = -0.5, .heading_gain = 4}).yaw_rad), 0.2);
}

TEST(HandTunedGaitTest, LongerStepsPayMore) {
  const double slow = RunScript(OnSlope(0), {.step = -0.5, .heading_gain = 4}).mean_reward;
  const double fast = RunScript(OnSlope(0), {.step = 0.5, .heading_gain = 4}).mean_reward;
  EXPECT_GT(fast, slow + 0.05);
}

TEST(HandTunedGaitTest, ReturnsWhatTheAuthorsLoggedForTheirBestPolicies) {
  // 1,422 to 1,724 over 400 steps on 9 and 11 degrees.
  const Walk walk = RunScript(OnSlope(9), {.forward = -1, .heading_gain = 4}, 400);
  EXPECT_GT(400 * walk.mean_reward, 1422);
  EXPECT_LT(400 * walk.mean_reward, 1724);
}

TEST(HandTunedGaitTest, SlopeIsEstimatedFromTheFeet) {
  for (const double rise : {-9.0, 0.0, 9.0}) {
    EXPECT_LT(RunScript(OnSlope(rise), {.forward = -rise / 9, .heading_gain = 4}).plane_error_rad, 0.03)
        << rise;
  }
}

TEST(HandTunedGaitTest, TenSimulationStepsWalkLikeTheAuthorsTwentyFive) {
  for (const double rise : {0.0, 9.0}) {
    TwinOptions coarse = OnSlope(rise), fine = coarse;
    fine.simulation_steps = 25;
    const Script script = {.forward = -rise / 9, .heading_gain = 4};
    const Walk walk = RunScript(coarse, script), reference = RunScript(fine, script);
    ExpectSameWalk(walk, reference, 0.02, 0.004);
  }
}

}  // namespace
}  // namespace demorl::stoch2
