#include <cmath>

#include "common/env/tasks/stoch2/reward.h"
#include "gmock/gmock.h"

namespace demorl::stoch2 {
namespace {

// Stands as it shall, on level ground.
TaskState Perfect() { return {.height_m = 0.243}; }

double Loss(const TaskState& state) { return 4 - StepReward(state, {}, 0); }

TEST(Stoch2RewardTest, StandingWellIsWorthFourAndEachMetreAHundred) {
  EXPECT_NEAR(StepReward(Perfect(), {}, 0), 4, 1e-12);
  EXPECT_NEAR(StepReward(Perfect(), {}, 0.0034), 4.34, 1e-12);
  EXPECT_NEAR(StepReward(Perfect(), {}, -0.01), 3, 1e-12);
}

TEST(Stoch2RewardTest, EachTermHasTheWeightOfTheAuthors) {
  TaskState state = Perfect();
  state.attitude.yaw_rad = 0.1;
  EXPECT_NEAR(Loss(state), 1 - std::exp(-0.35), 1e-12);
  state = Perfect();
  state.attitude.pitch_rad = 0.1;
  EXPECT_NEAR(Loss(state), 1 - std::exp(-0.45), 1e-12);
  state = Perfect();
  state.attitude.roll_rad = -0.1;
  EXPECT_NEAR(Loss(state), 1 - std::exp(-0.45), 1e-12);
  state = Perfect();
  state.height_m = 0.263;
  EXPECT_NEAR(Loss(state), 1 - std::exp(-0.32), 1e-12);
}

TEST(Stoch2RewardTest, TorsoAlongTheSlopeLosesNothing) {
  const stochlite::PlaneAngles slope = {.roll_rad = 0.05, .pitch_rad = -0.15};
  const TaskState state = {.attitude = {.roll_rad = 0.05, .pitch_rad = -0.15},
                           .plane = slope,
                           .height_m = 0.243 / (std::cos(0.05) * std::cos(0.15))};
  EXPECT_NEAR(StepReward(state, slope, 0), 4, 1e-12);
}

}  // namespace
}  // namespace demorl::stoch2
