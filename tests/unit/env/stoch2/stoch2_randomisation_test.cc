#include <cmath>
#include <map>
#include <numbers>
#include <set>

#include "common/env/tasks/stoch2/randomisation.h"
#include "common/env/tasks/stoch2/stoch2_variants.h"
#include "gmock/gmock.h"

namespace demorl::stoch2 {
namespace {

using stochlite::Draw;
using ::testing::ElementsAre;

constexpr double kDegree = std::numbers::pi / 180;

RandomisationOptions Everything() {
  return {.inclines_rad = {5 * kDegree, 7 * kDegree, 9 * kDegree, 11 * kDegree},
          .heading = true,
          .friction = true,
          .motor_strength = true,
          .added_mass = true,
          .push = true};
}

// Whole degrees.
int Incline(const Draw& draw) {
  return std::lround(std::acos(std::cos(draw.slope.roll_rad) * std::cos(draw.slope.pitch_rad)) / kDegree);
}

// Where the ground rises, from straight ahead to the left.
int Heading(const Draw& draw) {
  const double forward = -std::tan(draw.slope.pitch_rad);
  const double left = std::tan(draw.slope.roll_rad) / std::cos(draw.slope.pitch_rad);
  return std::lround(std::atan2(left, forward) / kDegree);
}

template <typename Value>
std::set<Value> Keys(const std::map<Value, int>& counts) {
  std::set<Value> keys;
  for (const auto& [key, count] : counts) {
    keys.insert(key);
  }
  return keys;
}

TEST(Stoch2DrawTest, PicksFromTheAuthorsSets) {
  Random random(1);
  std::map<int, int> inclines, headings, masses, pushes;
  for (int i = 0; i < 7000; ++i) {
    const Draw draw = DrawEpisode(Everything(), random);
    ++inclines[Incline(draw)];
    ++headings[Heading(draw)];
    for (const double mass : draw.added_mass_kg) {
      ++masses[std::lround(1000 * mass)];
    }
    ++pushes[std::lround(draw.push_n)];
    EXPECT_GE(draw.friction, 0.55);
    EXPECT_LE(draw.friction, 0.8);
    EXPECT_GE(draw.torque_limit_nm, 5);
    EXPECT_LE(draw.torque_limit_nm, 8);
  }
  EXPECT_THAT(Keys(inclines), ElementsAre(5, 7, 9, 11));
  EXPECT_THAT(Keys(headings), ElementsAre(0, 15, 30, 45, 60, 75, 90));
  EXPECT_THAT(Keys(masses), ElementsAre(0, 50, 100, 150));
  EXPECT_THAT(Keys(pushes), ElementsAre(-100, -60, 0, 60, 100));
  // All alike; six standard deviations of a count of 1,000 to 3,500.
  for (const auto& [incline, count] : inclines) {
    EXPECT_NEAR(count, 1750, 6 * 36) << incline;
  }
  for (const auto& [heading, count] : headings) {
    EXPECT_NEAR(count, 1000, 6 * 29) << heading;
  }
  for (const auto& [mass, count] : masses) {
    EXPECT_NEAR(count, 3500, 6 * 51) << mass;
  }
}

TEST(Stoch2DrawTest, FrontAndBackAreLoadedIndependently) {
  Random random(1);
  int num_equal = 0;
  for (int i = 0; i < 1000; ++i) {
    const Draw draw = DrawEpisode(Everything(), random);
    num_equal += draw.added_mass_kg[0] == draw.added_mass_kg[1];
  }
  EXPECT_NEAR(num_equal, 250, 6 * 14);
}

TEST(Stoch2DrawTest, RisesStraightAheadWithoutAHeadingWhichLiftsTheNose) {
  Random random(1);
  const Draw draw = DrawEpisode({.inclines_rad = {9 * kDegree}}, random);
  EXPECT_NEAR(draw.slope.pitch_rad, -9 * kDegree, 1e-12);
  EXPECT_NEAR(draw.slope.roll_rad, 0, 1e-12);
}

TEST(Stoch2DrawTest, ChangesNothingThatWasNotAskedFor) {
  Random random(1);
  const Draw draw = DrawEpisode({}, random);
  EXPECT_EQ(draw.slope.roll_rad, 0);
  EXPECT_EQ(draw.slope.pitch_rad, 0);
  EXPECT_EQ(draw.friction, 0.6);
  EXPECT_EQ(draw.torque_limit_nm, 7);
  EXPECT_THAT(draw.added_mass_kg, ElementsAre(0, 0));
  EXPECT_EQ(draw.push_n, 0);
}

TEST(Stoch2DrawTest, PushesInStepsHundredAndFiftyToHundredAndFiftyFive) {
  Random random(1);
  Draw draw;
  while (draw.push_n == 0) {
    draw = DrawEpisode({.push = true}, random);
  }
  for (int step = 0; step < 500; ++step) {
    EXPECT_EQ(PushAt(draw, step * kControlPeriod_s) != 0, step >= 150 && step <= 155) << step;
  }
}

TEST(Stoch2VariantsTest, SpecificationHasTheBoundsOfTheFeetsPaths) {
  const EnvironmentSpec spec = TwinSpec("any");
  EXPECT_EQ(spec.observation_size, 11);
  EXPECT_EQ(spec.action_size, 20);
  EXPECT_EQ(spec.max_episode_steps, 500);
  EXPECT_EQ(spec.control_period, absl::Milliseconds(5));
  const std::vector<double> low = {0, -std::numbers::pi / 2, 0, -0.0418, -0.035};
  const std::vector<double> high = {0.136, std::numbers::pi / 2, 0.038, 0.0418, 0.035};
  for (int i = 0; i < 20; ++i) {
    EXPECT_DOUBLE_EQ(spec.command_minimum[i], low[i / 4]) << i;
    EXPECT_DOUBLE_EQ(spec.command_maximum[i], high[i / 4]) << i;
  }
}

TEST(Stoch2VariantsTest, CurriculumGoesOnWithSteeperGround) {
  const auto variants = Stoch2Variants();
  EXPECT_EQ(variants[0].environment_id, "Stoch2-v0");
  EXPECT_EQ(variants[1].environment_id, "Stoch2Steep-v0");
  EXPECT_EQ(variants[0].options.randomisation.inclines_rad.front(), 5 * kDegree);
  EXPECT_EQ(variants[1].options.randomisation.inclines_rad.front(), 7 * kDegree);
}

}  // namespace
}  // namespace demorl::stoch2
