#include "common/env/tasks/stochlite/observation.h"

#include <cmath>
#include <vector>

#include "gmock/gmock.h"
#include "tests/unit/env/counting_allocator.h"

namespace demorl::stochlite {
namespace {

using ::testing::ElementsAre;

TaskState SomeState() {
  return {.height_m = 0.26,
          .attitude = {.roll_rad = 0.1, .pitch_rad = -0.2, .yaw_rad = 0.3},
          .velocity_m_s = {1, 2, 3},
          .angular_velocity_rad_s = {4, 5, 6},
          .plane = {.roll_rad = 0.01, .pitch_rad = 0.02},
          .command = {.forward_m_s = 0.25, .lateral_m_s = -0.25, .yaw_rate_rad_s = 1},
          .gait_phase_rad = 0};
}

TEST(ObservationTest, AuthorsSetHasEightEntriesInTheirOrder) {
  std::vector<double> observation(ObservationSize(ObservationSet::kAuthors));
  WriteObservation(ObservationSet::kAuthors, SomeState(), observation);
  EXPECT_THAT(observation, ElementsAre(0.26, 0.1, -0.2, 4, 5, 6, 0.01, 0.02));
}

TEST(ObservationTest, FullSetAddsYawVelocityCommandAndPhase) {
  std::vector<double> observation(ObservationSize(ObservationSet::kFull));
  WriteObservation(ObservationSet::kFull, SomeState(), observation);
  EXPECT_THAT(observation,
              ElementsAre(0.26, 0.1, -0.2, 0.3, 1, 2, 3, 4, 5, 6, 0.01, 0.02, 0.5, -1, 0.5, 1, 0));
}

TEST(ObservationTest, WritingAllocatesNothing) {
  std::vector<double> observation(ObservationSize(ObservationSet::kFull));
  const TaskState state = SomeState();
  const int64_t before = NumAllocations();
  WriteObservation(ObservationSet::kFull, state, observation);
  EXPECT_EQ(NumAllocations(), before);
}

TEST(TerminatesTest, AtTheAuthorsLimitsAndNotBefore) {
  const float degree = 3.14159265f / 180;
  const auto ends = [](float height, float roll, float pitch) {
    return Terminates(std::vector<float>{height, roll, pitch, 0, 0, 0, 0, 0});
  };
  EXPECT_FALSE(ends(0.25f, 0, 0));
  EXPECT_FALSE(ends(0.699f, 29.9f * degree, -34.9f * degree));
  EXPECT_TRUE(ends(0.701f, 0, 0));
  EXPECT_TRUE(ends(0.25f, 30.1f * degree, 0));
  EXPECT_TRUE(ends(0.25f, -30.1f * degree, 0));
  EXPECT_TRUE(ends(0.25f, 0, 35.1f * degree));
  EXPECT_TRUE(ends(0.25f, 0, -35.1f * degree));
  // A torso on the ground has not terminated.
  EXPECT_FALSE(ends(0.03f, 0, 0));
}

TEST(TerminatesTest, WhereAPredictionIsNoNumber) {
  for (int entry = 0; entry < 3; ++entry) {
    std::vector<float> observation = {0.25f, 0, 0, 0, 0, 0, 0, 0};
    observation[entry] = NAN;
    EXPECT_TRUE(Terminates(observation)) << entry;
  }
}

}  // namespace
}  // namespace demorl::stochlite
