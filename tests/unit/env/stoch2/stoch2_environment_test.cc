#include "common/env/tasks/stoch2/stoch2_environment.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <string>
#include <vector>

#include "common/env/registry.h"
#include "common/env/tasks/stoch2/foot_path.h"
#include "gmock/gmock.h"
#include "tests/testing/status_matchers.h"
#include "tests/unit/env/stochlite/quadruped_walk.h"

namespace demorl::stoch2 {
namespace {

constexpr double kDegree = std::numbers::pi / 180;

std::unique_ptr<Stoch2Environment> Make(const TwinOptions& options, uint64_t seed = 1) {
  return *Stoch2Environment::Create(TwinSpec("test"), seed, options);
}

TwinOptions Robust() {
  for (const Stoch2Variant& variant : Stoch2Variants()) {
    if (variant.environment_id == "Stoch2Robust-v0") {
      return variant.options;
    }
  }
  return {};
}

std::vector<double> Resting() { return std::vector<double>(kActionSize, -0.2); }

TEST(Stoch2ModelTest, HasTheMassAndTheServosOfTheRobot) {
  auto environment = Make({});
  stochlite::ExpectTwelveServos(environment->model(), 5.188, 200, 10);
  EXPECT_DOUBLE_EQ(environment->model().opt.timestep, 0.0005);
}

TEST(Stoch2ModelTest, FeetAreWhereTheKinematicsHasThem) {
  PerLeg<Vector3> feet;
  feet.fill({0, 0, kStanceHeight_m});
  const PerLeg<Vector3> bottoms = stochlite::FootBottoms_m(Make({})->model(), SolveLegs(kStoch2Leg, feet));
  for (const Leg leg : kLegs) {
    const Vector3 hip = HipPosition_m(leg);
    EXPECT_NEAR(bottoms[Index(leg)][0], hip[0], 1e-3);
    EXPECT_NEAR(bottoms[Index(leg)][1], hip[1], 1e-9);
    EXPECT_NEAR(bottoms[Index(leg)][2], hip[2] + kStanceHeight_m, 1e-3);
  }
}

TEST(Stoch2TaskTest, BeginsStandingAlongTheSlopeWithItsAttitudeAsItsPast) {
  TwinOptions options;
  options.randomisation.inclines_rad = {11 * kDegree};
  auto environment = Make(options);
  const Timestep first = environment->Reset();
  EXPECT_NEAR(environment->task_state().attitude.pitch_rad, -11 * kDegree, 0.021);
  EXPECT_NEAR(environment->task_state().height_m, 0.23661 / std::cos(11 * kDegree), 1e-4);
  EXPECT_NEAR(first.observation[10], -11 * kDegree, 0.021);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(first.observation[i], first.observation[6 + i]);
    EXPECT_EQ(first.observation[3 + i], first.observation[6 + i]);
  }
}

TEST(Stoch2TaskTest, ObservesTheLastThreeAttitudes) {
  auto environment = Make({});
  environment->Reset();
  std::vector<std::vector<double>> newest;
  for (int step = 0; step < 10; ++step) {
    const Timestep timestep = environment->Step(Resting());
    const auto& attitude = environment->task_state().attitude;
    newest.push_back({attitude.roll_rad, attitude.pitch_rad, attitude.yaw_rad});
    for (int age = 0; age < std::min<int>(3, newest.size()); ++age) {
      for (int axis = 0; axis < 3; ++axis) {
        EXPECT_EQ(timestep.observation[6 - 3 * age + axis], newest[newest.size() - 1 - age][axis]);
      }
    }
  }
  EXPECT_NE(newest[9], newest[8]);
}

TEST(Stoch2TaskTest, FeetFollowTheirPathsFromTheStartOfTheCycle) {
  auto environment = Make({});
  environment->Reset();
  std::vector<double> action(kActionSize, 0.0);
  const PerLeg<FootPath> paths = PathsFromAction(action);
  for (int step = 0; step < 100; ++step) {
    environment->Step(action);
    const double phase = 2 * std::numbers::pi * std::fmod(step / 80.0, 1);
    for (const Leg leg : kLegs) {
      const LegJoints joints =
          SolveLeg(kStoch2Leg, leg, FootOnPath(leg, paths[Index(leg)], LegPhase(leg, phase)));
      EXPECT_NEAR(environment->data().ctrl[3 * Index(leg) + 1], joints.hip_rad, 1e-6) << step;
      EXPECT_NEAR(environment->data().ctrl[3 * Index(leg) + 2], joints.knee_rad, 1e-6) << step;
    }
  }
}

TEST(Stoch2TaskTest, RewardPaysForTheWayAhead) {
  auto environment = Make({});
  environment->Reset();
  double before = environment->data().qpos[0];
  for (int step = 0; step < 50; ++step) {
    const Timestep timestep = environment->Step(Resting());
    const double after = environment->data().qpos[0];
    EXPECT_NEAR(timestep.reward, StepReward(environment->task_state(), {}, after - before), 1e-9);
    before = after;
  }
}

TEST(Stoch2TaskTest, LeaningTooFarTerminatesWithoutReward) {
  auto environment = Make({});
  for (const double roll_deg : {28.0, 33.0}) {
    stochlite::StartLeaning(*environment, roll_deg * kDegree, 0.5);
    const Timestep timestep = environment->Step(Resting());
    EXPECT_EQ(timestep.terminated, roll_deg > 30) << roll_deg;
    EXPECT_EQ(timestep.reward == 0, roll_deg > 30) << roll_deg;
  }
}

TEST(Stoch2TaskTest, BeingHighInTheAirTerminatesWithoutReward) {
  auto environment = Make({});
  stochlite::StartLeaning(*environment, 0, 0.75);
  const Timestep timestep = environment->Step(Resting());
  EXPECT_TRUE(timestep.terminated);
  EXPECT_EQ(timestep.reward, 0);
}

TEST(Stoch2TaskTest, ClockCutsAnEpisodeAfterFiveHundredSteps) {
  auto environment = Make({});
  environment->Reset();
  Timestep timestep;
  int num_steps = 0;
  while (timestep.step_type != StepType::kLast) {
    timestep = environment->Step(Resting());
    ++num_steps;
  }
  EXPECT_EQ(num_steps, 500);
  EXPECT_TRUE(timestep.truncated);
  EXPECT_FALSE(timestep.terminated);
  EXPECT_GT(timestep.reward, 0);
  EXPECT_NEAR(environment->data().time, 2.5, 1e-6);
}

TEST(Stoch2RandomisationTest, ReachesTheModel) {
  auto environment = Make(Robust(), 5);
  const mjModel& model = environment->model();
  const int ground = mj_name2id(&model, mjOBJ_GEOM, "ground");
  const int front = mj_name2id(&model, mjOBJ_BODY, "front"), back = mj_name2id(&model, mjOBJ_BODY, "back");
  for (int episode = 0; episode < 20; ++episode) {
    environment->Reset();
    const stochlite::Draw& draw = environment->draw();
    EXPECT_EQ(model.geom_friction[3 * ground], draw.friction);
    EXPECT_DOUBLE_EQ(model.body_mass[front], 1 + draw.added_mass_kg[0]);
    EXPECT_DOUBLE_EQ(model.body_mass[back], 1.43 + draw.added_mass_kg[1]);
    EXPECT_NEAR(model.body_subtreemass[0], 5.188 + draw.added_mass_kg[0] + draw.added_mass_kg[1], 1e-9);
    EXPECT_EQ(model.actuator_forcerange[1], draw.torque_limit_nm);
    const double* normal = environment->data().geom_xmat + 9 * ground;
    EXPECT_NEAR(stochlite::PlaneFromNormal({normal[2], normal[5], normal[8]}).roll_rad, draw.slope.roll_rad,
                1e-9);
  }
}

TEST(Stoch2RandomisationTest, PushesTheTorsoForSixSteps) {
  TwinOptions options;
  options.randomisation.push = true;
  auto environment = Make(options, 1);
  do {
    environment->Reset();
  } while (environment->draw().push_n == 0);
  const int torso = mj_name2id(&environment->model(), mjOBJ_BODY, "torso");
  std::vector<int> pushed;
  for (int step = 0; step < 300; ++step) {
    environment->Step(Resting());
    if (environment->data().xfrc_applied[6 * torso + 1] == environment->draw().push_n) {
      pushed.push_back(step);
    }
  }
  EXPECT_THAT(pushed, ::testing::ElementsAre(150, 151, 152, 153, 154, 155));
}

TEST(Stoch2RandomisationTest, ImuNoiseIsOfTheObservationAloneAndOfItsSize) {
  TwinOptions noisy;
  noisy.imu_noise_stddev_rad = 0.04;
  auto environment = Make(noisy, 3), quiet = Make({}, 3);
  environment->Reset();
  quiet->Reset();
  double squares = 0;
  int num_values = 0;
  for (int step = 0; step < 450; ++step) {
    const Timestep timestep = environment->Step(Resting());
    quiet->Step(Resting());
    const auto& attitude = environment->task_state().attitude;
    EXPECT_EQ(attitude.roll_rad, quiet->task_state().attitude.roll_rad);
    for (const double error :
         {timestep.observation[6] - attitude.roll_rad, timestep.observation[7] - attitude.pitch_rad,
          timestep.observation[8] - attitude.yaw_rad}) {
      squares += error * error;
      ++num_values;
    }
  }
  // Five standard errors of a standard deviation estimated from 1,350 values.
  EXPECT_NEAR(std::sqrt(squares / num_values), 0.04, 5 * 0.04 / std::sqrt(2 * num_values));
}

TEST(Stoch2RandomisationTest, ARestoredEpisodeGoesOnAsItWould) {
  TwinOptions options = Robust();
  options.imu_noise_stddev_rad = 0.02;
  auto original = Make(options, 5), copy = Make(options, 9);
  original->Reset();
  copy->Reset();
  for (int step = 0; step < 100; ++step) {
    original->Step(Resting());
  }
  ASSERT_OK(copy->RestoreState(original->SaveState()));
  EXPECT_EQ(copy->draw().push_n, original->draw().push_n);
  stochlite::ExpectSameSteps(*original, *copy, Resting(), 200);
}

}  // namespace
}  // namespace demorl::stoch2
