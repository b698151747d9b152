#include "common/env/tasks/stochlite/randomisation.h"

#include <cmath>
#include <numbers>
#include <set>
#include <vector>

#include "common/env/registry.h"
#include "common/env/tasks/stochlite/stochlite_environment.h"
#include "gmock/gmock.h"
#include "tests/testing/status_matchers.h"
#include "tests/unit/env/stochlite/quadruped_walk.h"

namespace demorl::stochlite {
namespace {

constexpr double kDegree = std::numbers::pi / 180;

RandomisationOptions Everything() {
  return {.max_incline_rad = 9 * kDegree,
          .min_forward_m_s = 0.2,
          .max_forward_m_s = 0.5,
          .friction = true,
          .motor_strength = true,
          .added_mass = true,
          .push = true};
}

double Incline(const PlaneAngles& slope) {
  return std::acos(std::cos(slope.roll_rad) * std::cos(slope.pitch_rad));
}

std::unique_ptr<StochLiteEnvironment> Make(const RandomisationOptions& randomisation, uint64_t seed) {
  TwinOptions options;
  options.randomisation = randomisation;
  return *StochLiteEnvironment::Create(TwinSpec("test", options.observation), seed, options);
}

TEST(DrawEpisodeTest, StaysWithinItsBoundsAndUsesThem) {
  Random random(1);
  double steepest = 0, uphill = 0, downhill = 0, slowest = 1, fastest = 0, weakest = 9, strongest = 0,
         heaviest = 0;
  double hardest_push = 0;
  for (int i = 0; i < 2000; ++i) {
    const Draw draw = DrawEpisode(Everything(), random);
    steepest = std::max(steepest, Incline(draw.slope));
    uphill = std::min(uphill, draw.slope.pitch_rad);
    downhill = std::max(downhill, draw.slope.pitch_rad);
    slowest = std::min(slowest, draw.command.forward_m_s);
    fastest = std::max(fastest, draw.command.forward_m_s);
    weakest = std::min(weakest, draw.torque_limit_nm);
    strongest = std::max(strongest, draw.torque_limit_nm);
    heaviest = std::max(heaviest, draw.added_mass_kg[0]);
    hardest_push = std::max(hardest_push, std::abs(draw.push_n));
    EXPECT_GE(draw.friction, 0.55);
    EXPECT_LE(draw.friction, 0.8);
    EXPECT_GE(draw.added_mass_kg[0], 0);
  }
  EXPECT_LE(steepest, 9 * kDegree + 1e-9);
  EXPECT_GT(steepest, 8.9 * kDegree);
  EXPECT_LT(uphill, -8 * kDegree);
  EXPECT_GT(downhill, 8 * kDegree);
  EXPECT_GE(slowest, 0.2);
  EXPECT_LT(slowest, 0.21);
  EXPECT_LE(fastest, 0.5);
  EXPECT_GT(fastest, 0.49);
  EXPECT_GE(weakest, 5);
  EXPECT_LT(weakest, 5.5);
  EXPECT_LE(strongest, 8);
  EXPECT_GT(strongest, 7.5);
  EXPECT_GT(heaviest, 0.14);
  EXPECT_LE(heaviest, 0.15);
  EXPECT_GT(hardest_push, 39);
  EXPECT_LE(hardest_push, 40);
}

TEST(DrawEpisodeTest, ChangesNothingThatWasNotAskedFor) {
  Random random(1);
  const Draw draw = DrawEpisode({.slope = {.roll_rad = 0.01, .pitch_rad = -0.02}}, random);
  EXPECT_EQ(draw.slope.roll_rad, 0.01);
  EXPECT_EQ(draw.slope.pitch_rad, -0.02);
  EXPECT_EQ(draw.command.forward_m_s, 0.5);
  EXPECT_EQ(draw.friction, 0.8);
  EXPECT_EQ(draw.torque_limit_nm, 7);
  EXPECT_EQ(draw.added_mass_kg[0], 0);
  EXPECT_EQ(draw.push_n, 0);
}

TEST(RandomisationTest, ReachesTheModel) {
  auto environment = Make(Everything(), 5);
  const mjModel& model = environment->model();
  const int ground = mj_name2id(&model, mjOBJ_GEOM, "ground"),
            torso = mj_name2id(&model, mjOBJ_BODY, "torso");
  std::set<double> frictions, masses, limits, inertias;
  for (int episode = 0; episode < 20; ++episode) {
    environment->Reset();
    const Draw& draw = environment->draw();
    EXPECT_EQ(model.geom_friction[3 * ground], draw.friction);
    EXPECT_DOUBLE_EQ(model.body_mass[torso], 1.582 + draw.added_mass_kg[0]);
    for (int motor = 0; motor < model.nu; ++motor) {
      EXPECT_EQ(model.actuator_forcerange[2 * motor], -draw.torque_limit_nm);
      EXPECT_EQ(model.actuator_forcerange[2 * motor + 1], draw.torque_limit_nm);
    }
    frictions.insert(draw.friction);
    masses.insert(draw.added_mass_kg[0]);
    limits.insert(draw.torque_limit_nm);
    inertias.insert(model.body_subtreemass[torso]);
    // The ground is where the slope says.
    const double* normal = environment->data().geom_xmat + 9 * ground;
    EXPECT_NEAR(PlaneFromNormal({normal[2], normal[5], normal[8]}).roll_rad, draw.slope.roll_rad, 1e-9);
    EXPECT_NEAR(PlaneFromNormal({normal[2], normal[5], normal[8]}).pitch_rad, draw.slope.pitch_rad, 1e-9);
  }
  EXPECT_GT(frictions.size(), 8);
  EXPECT_EQ(masses.size(), 20);
  EXPECT_GT(limits.size(), 18);
  EXPECT_EQ(inertias.size(), 20);
}

TEST(RandomisationTest, OfOneEnvironmentLeavesOthersAlone) {
  auto first = Make(Everything(), 5), second = Make({}, 5);
  first->Reset();
  second->Reset();
  const int torso = mj_name2id(&second->model(), mjOBJ_BODY, "torso");
  EXPECT_EQ(second->model().body_mass[torso], 1.582);
  EXPECT_NE(first->model().body_mass[torso], 1.582);
}

TEST(RandomisationTest, OtherSeedsDrawOtherEpisodes) {
  auto first = Make(Everything(), 5), same = Make(Everything(), 5), other = Make(Everything(), 6);
  first->Reset();
  same->Reset();
  other->Reset();
  EXPECT_EQ(first->SaveState(), same->SaveState());
  EXPECT_NE(first->draw().slope.pitch_rad, other->draw().slope.pitch_rad);
  EXPECT_NE(first->draw().command.forward_m_s, other->draw().command.forward_m_s);
  EXPECT_NE(first->draw().friction, other->draw().friction);
}

TEST(RandomisationTest, ARestoredEpisodeHasTheSameModel) {
  auto original = Make(Everything(), 5), copy = Make(Everything(), 9);
  original->Reset();
  copy->Reset();
  const std::vector<double> action(kActionSize, 0.1);
  for (int step = 0; step < 40; ++step) {
    original->Step(action);
  }
  ASSERT_OK(copy->RestoreState(original->SaveState()));
  const int torso = mj_name2id(&copy->model(), mjOBJ_BODY, "torso");
  EXPECT_EQ(copy->model().body_mass[torso], original->model().body_mass[torso]);
  EXPECT_EQ(copy->draw().push_n, original->draw().push_n);
  ExpectSameSteps(*original, *copy, action, 200);
}

TEST(RandomisationTest, PushComesOnceAndMovesTheTorsoAside) {
  auto pushed = Make({.push = true}, 7), left_alone = Make({}, 7);
  pushed->Reset();
  left_alone->Reset();
  ASSERT_GT(std::abs(pushed->draw().push_n), 5);
  const int torso = mj_name2id(&pushed->model(), mjOBJ_BODY, "torso");
  int num_pushed_steps = 0;
  for (int step = 0; step < 950; ++step) {
    pushed->Step(std::vector<double>(kActionSize, 0.0));
    const double force = pushed->data().xfrc_applied[6 * torso + 1];
    if (force != 0) {
      EXPECT_EQ(force, pushed->draw().push_n);
      ++num_pushed_steps;
      EXPECT_NEAR(pushed->data().time, pushed->draw().push_time_s, 0.05);
    }
  }
  EXPECT_EQ(num_pushed_steps, 3);
}

}  // namespace
}  // namespace demorl::stochlite
