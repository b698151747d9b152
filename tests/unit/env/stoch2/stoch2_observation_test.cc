#include <limits>
#include <numbers>

#include "common/env/tasks/stoch2/observation.h"
#include "gmock/gmock.h"

namespace demorl::stoch2 {
namespace {

using ::testing::ElementsAre;

constexpr double kDegree = std::numbers::pi / 180;

std::array<double, kObservationSize> Observe(const AttitudeHistory& history,
                                             const stochlite::PlaneAngles& plane = {}) {
  std::array<double, kObservationSize> observation;
  WriteObservation(history, plane, observation);
  return observation;
}

bool TerminatesAt(double roll_deg, double pitch_deg) {
  std::array<float, kObservationSize> observation{};
  observation[6] = static_cast<float>(roll_deg * kDegree);
  observation[7] = static_cast<float>(pitch_deg * kDegree);
  const bool terminates = Terminates(observation);
  EXPECT_EQ(terminates, LeansOver({.roll_rad = roll_deg * kDegree, .pitch_rad = pitch_deg * kDegree}));
  return terminates;
}

TEST(WriteObservationTest, HasThreeAttitudesOldestFirstThenTheSlope) {
  AttitudeHistory history;
  history.Begin({0.1, 0.2, 0.3});
  history.Add({0.4, 0.5, 0.6});
  history.Add({0.7, 0.8, 0.9});
  EXPECT_THAT(Observe(history, {.roll_rad = -0.1, .pitch_rad = -0.2}),
              ElementsAre(0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, -0.1, -0.2));
  history.Add({1, 2, 3});
  EXPECT_THAT(Observe(history), ElementsAre(0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1, 2, 3, 0, 0));
}

TEST(WriteObservationTest, AnEpisodeBeginsWithoutAPast) {
  AttitudeHistory history;
  history.Begin({9, 9, 9});
  history.Begin({1, 2, 3});
  EXPECT_THAT(Observe(history), ElementsAre(1, 2, 3, 1, 2, 3, 1, 2, 3, 0, 0));
}

TEST(TerminatesTest, BeyondThirtyDegreesOfRollAndThirtyFiveOfPitch) {
  EXPECT_FALSE(TerminatesAt(29.9, 34.9));
  EXPECT_FALSE(TerminatesAt(-29.9, -34.9));
  EXPECT_TRUE(TerminatesAt(30.1, 0));
  EXPECT_TRUE(TerminatesAt(-30.1, 0));
  EXPECT_TRUE(TerminatesAt(0, 35.1));
  EXPECT_TRUE(TerminatesAt(0, -35.1));
}

TEST(TerminatesTest, LooksAtTheNewestAttitudeOnly) {
  std::array<float, kObservationSize> observation{};
  observation[0] = observation[1] = observation[3] = observation[4] = observation[8] = observation[9] = 2;
  EXPECT_FALSE(Terminates(observation));
}

TEST(TerminatesTest, WhereAPredictionIsNoNumber) {
  EXPECT_TRUE(TerminatesAt(std::numeric_limits<double>::quiet_NaN(), 0));
  EXPECT_TRUE(TerminatesAt(0, std::numeric_limits<double>::quiet_NaN()));
}

}  // namespace
}  // namespace demorl::stoch2
