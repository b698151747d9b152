#include "common/env/tasks/stochlite/reward.h"

#include <cmath>

#include "gmock/gmock.h"

namespace demorl::stochlite {
namespace {

// Does exactly as asked, on level ground.
TaskState Perfect() {
  TaskState state;
  state.height_m = 0.25;
  state.velocity_m_s = {0.5, 0, 0};
  state.command.forward_m_s = 0.5;
  return state;
}

TEST(RewardTest, PerfectWalkIsWorthFiftyThree) { EXPECT_NEAR(StepReward(Perfect(), {}, 0), 53, 1e-12); }

TEST(RewardTest, EachTermHasTheWeightOfTheAuthors) {
  const auto loss = [](auto change) {
    TaskState state = Perfect();
    change(state);
    return 53 - StepReward(state, {}, 0);
  };
  EXPECT_NEAR(loss([](TaskState& s) { s.attitude.roll_rad = 0.1; }), 1 - std::exp(-0.45), 1e-12);
  EXPECT_NEAR(loss([](TaskState& s) { s.attitude.pitch_rad = 0.1; }), 1 - std::exp(-0.45), 1e-12);
  EXPECT_NEAR(loss([](TaskState& s) { s.height_m = 0.26; }), 20 * (1 - std::exp(-1)), 1e-9);
  EXPECT_NEAR(loss([](TaskState& s) { s.velocity_m_s = {0.3, 0.1, 0}; }), 15 * (1 - std::exp(-0.25)), 1e-12);
  EXPECT_NEAR(loss([](TaskState& s) {
                s.angular_velocity_rad_s = {0, 0, 0.5};
              }),
              10 * (1 - std::exp(-0.25)), 1e-12);
  EXPECT_NEAR(loss([](TaskState& s) {
                s.angular_velocity_rad_s = {0.1, 0, 0};
              }),
              3 * (1 - std::exp(-1)), 1e-12);
  EXPECT_NEAR(loss([](TaskState& s) {
                s.angular_velocity_rad_s = {0, 0.1, 0};
              }),
              3 * (1 - std::exp(-1)), 1e-12);
  EXPECT_NEAR(StepReward(Perfect(), {}, 30), 53 - 1.5, 1e-12);
}

TEST(RewardTest, StandingStillPaysLessThanWalkingAsCommanded) {
  TaskState standing = Perfect();
  standing.velocity_m_s = {};
  EXPECT_NEAR(53 - StepReward(standing, {}, 0), 15 * (1 - std::exp(-1.25)), 1e-12);
}

TEST(RewardTest, TorsoAlongTheSlopeLosesNothing) {
  const PlaneAngles slope = {.roll_rad = 0.05, .pitch_rad = -0.15};
  TaskState state = Perfect();
  state.attitude = {.roll_rad = 0.05, .pitch_rad = -0.15};
  state.plane = slope;
  state.height_m = DesiredHeight_m(slope);
  EXPECT_NEAR(StepReward(state, slope, 0), 53, 1e-9);
}

TEST(RewardTest, HeightAskedForIsALegsLengthAcrossTheSlope) {
  EXPECT_NEAR(DesiredHeight_m({}), 0.25, 1e-12);
  // Straight down it is longer by the cosine of the incline, whichever way that lies.
  const double incline = 0.157;
  EXPECT_NEAR(DesiredHeight_m({.pitch_rad = incline}), 0.25 / std::cos(incline), 1e-12);
  EXPECT_NEAR(DesiredHeight_m({.roll_rad = -incline}), 0.25 / std::cos(incline), 1e-12);
}

}  // namespace
}  // namespace demorl::stochlite
