#include "common/robot/drivers/moteus/moteus_trajectory.h"

#include <cmath>

#include "common/base/random.h"
#include "gmock/gmock.h"

namespace demorl {
namespace {

MoteusTrajectory From(double position_rev, double velocity_rev_s, const MoteusMotion& motion) {
  MoteusTrajectory trajectory;
  trajectory.Start(motion, position_rev, velocity_rev_s);
  return trajectory;
}

// Seconds until it is done, in steps of `step_s`; the last one is counted whole.
double TimeToEnd(MoteusTrajectory& trajectory, double step_s) {
  double time_s = 0;
  while (!trajectory.done() && time_s < 100) {
    trajectory.Advance(step_s);
    time_s += step_s;
  }
  return time_s;
}

TEST(MoteusTrajectoryTest, WithoutLimitsIsThereAtOnce) {
  MoteusTrajectory trajectory = From(1, 2, {.position_rev = 5, .velocity_rev_s = 0.5});
  EXPECT_TRUE(trajectory.done());
  EXPECT_EQ(trajectory.position_rev(), 5);
  EXPECT_EQ(trajectory.velocity_rev_s(), 0.5);
  trajectory.Advance(0.2);
  EXPECT_NEAR(trajectory.position_rev(), 5.1, 1e-12);
}

TEST(MoteusTrajectoryTest, WithBothLimitsIsATrapezoid) {
  // Up within 0.5 s and 0.25 rev, 1 s at 1 rev/s, down as it went up.
  MoteusTrajectory trajectory =
      From(0, 0, {.position_rev = -1.5, .velocity_limit_rev_s = 1, .acceleration_limit_rev_s2 = 2});
  trajectory.Advance(0.5);
  EXPECT_NEAR(trajectory.position_rev(), -0.25, 1e-12);
  EXPECT_NEAR(trajectory.velocity_rev_s(), -1, 1e-12);
  trajectory.Advance(1);
  EXPECT_NEAR(trajectory.position_rev(), -1.25, 1e-12);
  EXPECT_NEAR(trajectory.velocity_rev_s(), -1, 1e-12);
  trajectory.Advance(0.25);
  EXPECT_NEAR(trajectory.velocity_rev_s(), -0.5, 1e-12);
  EXPECT_FALSE(trajectory.done());
  trajectory.Advance(0.26);
  EXPECT_TRUE(trajectory.done());
  EXPECT_EQ(trajectory.position_rev(), -1.5);
  EXPECT_EQ(trajectory.velocity_rev_s(), 0);
}

TEST(MoteusTrajectoryTest, WithAnAccelerationLimitIsATriangle) {
  MoteusTrajectory trajectory = From(0, 0, {.position_rev = 1, .acceleration_limit_rev_s2 = 4});
  trajectory.Advance(0.5);
  EXPECT_NEAR(trajectory.position_rev(), 0.5, 1e-12);
  EXPECT_NEAR(trajectory.velocity_rev_s(), 2, 1e-12);
  trajectory.Advance(0.6);
  EXPECT_TRUE(trajectory.done());
}

TEST(MoteusTrajectoryTest, WithAVelocityLimitGoesSteadily) {
  MoteusTrajectory trajectory =
      From(0, 0, {.position_rev = 1, .velocity_rev_s = 0.5, .velocity_limit_rev_s = 2});
  trajectory.Advance(0.25);
  EXPECT_NEAR(trajectory.position_rev(), 0.5, 1e-12);
  EXPECT_EQ(trajectory.velocity_rev_s(), 2);
  // The position asked for moves with its velocity: met after 2/3 s at 4/3.
  trajectory.Advance(0.75);
  EXPECT_TRUE(trajectory.done());
  EXPECT_NEAR(trajectory.position_rev(), 1.5, 1e-12);
  EXPECT_EQ(trajectory.velocity_rev_s(), 0.5);
}

TEST(MoteusTrajectoryTest, WithoutAPositionReachesItsVelocity) {
  MoteusTrajectory trajectory =
      From(0, 0, {.velocity_rev_s = 3, .velocity_limit_rev_s = 2, .acceleration_limit_rev_s2 = 4});
  trajectory.Advance(0.25);
  EXPECT_NEAR(trajectory.velocity_rev_s(), 1, 1e-12);
  EXPECT_FALSE(trajectory.done());
  trajectory.Advance(0.5);
  EXPECT_TRUE(trajectory.done());
  EXPECT_EQ(trajectory.velocity_rev_s(), 2);
  EXPECT_NEAR(trajectory.position_rev(), 0.5 + 0.25 * 2, 1e-12);
}

TEST(MoteusTrajectoryTest, TurnsBackWhereItCannotBrakeInTime) {
  MoteusTrajectory trajectory = From(0, 2, {.position_rev = 0.1, .acceleration_limit_rev_s2 = 4});
  trajectory.Advance(0.5);
  EXPECT_NEAR(trajectory.position_rev(), 0.5, 1e-12);  // 2^2 / (2 x 4)
  EXPECT_NEAR(trajectory.velocity_rev_s(), 0, 1e-12);
  EXPECT_NEAR(TimeToEnd(trajectory, 1e-3), 2 * std::sqrt(0.4 / 4), 2e-3);
  EXPECT_EQ(trajectory.position_rev(), 0.1);
}

TEST(MoteusTrajectoryTest, SlowsDownToItsVelocityLimitFirst) {
  MoteusTrajectory trajectory =
      From(0, 3, {.position_rev = 10, .velocity_limit_rev_s = 1, .acceleration_limit_rev_s2 = 2});
  trajectory.Advance(1);
  EXPECT_NEAR(trajectory.velocity_rev_s(), 1, 1e-12);
  EXPECT_NEAR(trajectory.position_rev(), 2, 1e-12);
}

TEST(MoteusTrajectoryTest, ANewCommandGoesOnFromTheOldOne) {
  MoteusTrajectory trajectory = From(0, 0, {.position_rev = 1, .acceleration_limit_rev_s2 = 4});
  trajectory.Advance(0.25);
  trajectory.Start({.position_rev = 1, .acceleration_limit_rev_s2 = 4}, 77, 77);
  trajectory.Advance(0.25);
  EXPECT_NEAR(trajectory.position_rev(), 0.5, 1e-12);
  trajectory.Stop();
  EXPECT_FALSE(trajectory.active());
  trajectory.Start({.position_rev = 1, .acceleration_limit_rev_s2 = 4}, 0.7, 0.01);
  EXPECT_EQ(trajectory.position_rev(), 0.7);
  EXPECT_EQ(trajectory.velocity_rev_s(), 0);  // as good as at rest
}

TEST(MoteusTrajectoryTest, NegativeLimitsAreNone) {
  EXPECT_TRUE(
      From(0, 0, {.position_rev = 1, .velocity_limit_rev_s = -1, .acceleration_limit_rev_s2 = -1}).done());
}

TEST(MoteusTrajectoryTest, StopsAtTheStopPositionAndStaysThere) {
  MoteusTrajectory trajectory = From(0, 0, {.velocity_rev_s = -1, .stop_position_rev = -0.3});
  trajectory.Advance(0.2);
  EXPECT_NEAR(trajectory.position_rev(), -0.2, 1e-12);
  trajectory.Advance(0.2);
  trajectory.Advance(0.2);
  EXPECT_EQ(trajectory.position_rev(), -0.3);
  EXPECT_EQ(trajectory.velocity_rev_s(), 0);
}

TEST(MoteusTrajectoryTest, KeepsItsLimitsArrivesAndDoesNotDependOnTheStep) {
  Random random(3);
  for (int draw = 0; draw < 500; ++draw) {
    const MoteusMotion motion = {.position_rev = random.Uniform(-2, 2),
                                 .velocity_rev_s = random.Uniform(-0.5, 0.5),
                                 .velocity_limit_rev_s = random.Uniform(0.8, 3),
                                 .acceleration_limit_rev_s2 = random.Uniform(1, 20)};
    const double start_rev_s = random.Uniform(-0.8, 0.8);
    MoteusTrajectory fine = From(0.1, start_rev_s, motion), coarse = fine;
    double velocity_rev_s = fine.velocity_rev_s();
    for (int step = 0; step < 60; ++step) {
      for (int part = 0; part < 50; ++part) {
        fine.Advance(0.002);
        ASSERT_LE(std::abs(fine.velocity_rev_s()), motion.velocity_limit_rev_s + 1e-9);
        ASSERT_LE(std::abs(fine.velocity_rev_s() - velocity_rev_s),
                  motion.acceleration_limit_rev_s2 * 0.002 + 1e-9);
        velocity_rev_s = fine.velocity_rev_s();
      }
      coarse.Advance(0.1);
      ASSERT_NEAR(fine.position_rev(), coarse.position_rev(), 1e-6) << draw << " after " << step;
    }
    EXPECT_TRUE(fine.done());
    EXPECT_TRUE(coarse.done());
    EXPECT_NEAR(fine.position_rev(), motion.position_rev + 6 * motion.velocity_rev_s, 1e-6);
  }
}

}  // namespace
}  // namespace demorl
