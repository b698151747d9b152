#include "common/env/tasks/stochlite/observation.h"

#include <cmath>
#include <numbers>
#include <vector>

#include "gmock/gmock.h"
#include "tests/testing/counting_allocator.h"

namespace demorl::stochlite {
namespace {

using ::testing::DoubleNear;
using ::testing::ElementsAre;
using ::testing::Pointwise;

TaskState SomeState() {
  return {.height_m = 0.26,
          .attitude = {.roll_rad = 0.1, .pitch_rad = -0.2, .yaw_rad = 0.3},
          .velocity_m_s = {1, 2, 3},
          .angular_velocity_rad_s = {4, 5, 6},
          .plane = {.roll_rad = 0.01, .pitch_rad = 0.02},
          .command = {.forward_m_s = 0.25, .lateral_m_s = -0.25, .yaw_rate_rad_s = 1},
          .gait_phase_rad = 0,
          .gait = {.shift_m = {{{0.01, 0.02, -0.04}, {}, {}, {}}}, .forward_m_s = 0.1}};
}

TEST(ObservationTest, AuthorsSetHasEightEntriesInTheirOrder) {
  std::vector<double> observation(ObservationSize(ObservationSet::kAuthors));
  WriteObservation(ObservationSet::kAuthors, SomeState(), observation);
  EXPECT_THAT(observation, ElementsAre(0.26, 0.1, -0.2, 4, 5, 6, 0.01, 0.02));
}

TEST(ObservationTest, FullSetAddsYawVelocityCommandPhaseAndGaitInUnitsOfOrderOne) {
  std::vector<double> observation(ObservationSize(ObservationSet::kFull));
  WriteObservation(ObservationSet::kFull, SomeState(), observation);
  std::vector<double> expected = {0.5, 1,   -2,  3,   1 / 0.3, 2 / 0.3, 3 / 0.3, 4, 5,
                                  6,   0.1, 0.2, 0.5, -1,      0.5,     1,       0};
  const std::array<double, kActionSize> followed = ActionFromGait(SomeState().gait);
  EXPECT_NEAR(followed[8], -0.4, 1e-12);
  expected.insert(expected.end(), followed.begin(), followed.end());
  EXPECT_THAT(observation, Pointwise(DoubleNear(1e-9), expected));
}

TEST(ObservationTest, WritingAllocatesNothing) {
  std::vector<double> observation(ObservationSize(ObservationSet::kFull));
  const TaskState state = SomeState();
  const int64_t before = NumAllocations();
  WriteObservation(ObservationSet::kFull, state, observation);
  EXPECT_EQ(NumAllocations(), before);
}

// An observation of either set of a torso in this pose.
std::vector<float> InPose(ObservationSet set, double height_m, double roll_deg, double pitch_deg) {
  constexpr double kDegree = std::numbers::pi / 180;
  TaskState state;
  state.height_m = height_m;
  state.attitude = {.roll_rad = roll_deg * kDegree, .pitch_rad = pitch_deg * kDegree};
  std::vector<double> observation(ObservationSize(set));
  WriteObservation(set, state, observation);
  return {observation.begin(), observation.end()};
}

class TerminatesTest : public ::testing::TestWithParam<ObservationSet> {
 protected:
  bool Ends(double height_m, double roll_deg, double pitch_deg) {
    return TerminationRuleOf(GetParam())(InPose(GetParam(), height_m, roll_deg, pitch_deg));
  }
};

INSTANTIATE_TEST_SUITE_P(Sets, TerminatesTest,
                         ::testing::Values(ObservationSet::kAuthors, ObservationSet::kFull));

TEST_P(TerminatesTest, AtTheAuthorsLimitsAndNotBefore) {
  EXPECT_FALSE(Ends(0.25, 0, 0));
  EXPECT_FALSE(Ends(0.699, 29.9, -34.9));
  EXPECT_TRUE(Ends(0.701, 0, 0));
  EXPECT_TRUE(Ends(0.25, 30.1, 0));
  EXPECT_TRUE(Ends(0.25, -30.1, 0));
  EXPECT_TRUE(Ends(0.25, 0, 35.1));
  EXPECT_TRUE(Ends(0.25, 0, -35.1));
  // A torso on the ground has not terminated.
  EXPECT_FALSE(Ends(0.03, 0, 0));
}

TEST_P(TerminatesTest, WhereAPredictionIsNoNumber) {
  for (int entry = 0; entry < 3; ++entry) {
    std::vector<float> observation = InPose(GetParam(), 0.25, 0, 0);
    EXPECT_FALSE(TerminationRuleOf(GetParam())(observation));
    observation[entry] = NAN;
    EXPECT_TRUE(TerminationRuleOf(GetParam())(observation)) << entry;
  }
}

}  // namespace
}  // namespace demorl::stochlite
