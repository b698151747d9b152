#include "common/env/tasks/stochlite/stochlite_environment.h"

#include <cmath>
#include <numbers>
#include <vector>

#include "common/env/registry.h"
#include "gmock/gmock.h"
#include "tests/testing/status_matchers.h"
#include "tests/unit/env/stochlite/quadruped_walk.h"

namespace demorl::stochlite {
namespace {

using ::testing::ElementsAre;

constexpr double kDegree = std::numbers::pi / 180;

std::unique_ptr<StochLiteEnvironment> Make(const TwinOptions& options, uint64_t seed = 1) {
  return *StochLiteEnvironment::Create(TwinSpec("test", options.observation), seed, options);
}

TEST(StochLiteModelTest, HasTheMassAndTheServosOfTheRobot) {
  ExpectTwelveServos(Make({})->model(), 3.23, 400, 10);
}

TEST(StochLiteModelTest, FeetAreWhereTheKinematicsHasThem) {
  PerLeg<Vector3> feet;
  for (const Leg leg : kLegs) {
    feet[Index(leg)] = {0, IsLeft(leg) ? 0.05 : -0.05, -0.25};
  }
  const PerLeg<Vector3> bottoms = FootBottoms_m(Make({})->model(), SolveLegs(feet));
  for (const Leg leg : kLegs) {
    const Vector3 hip = HipOffset(leg);
    EXPECT_NEAR(bottoms[Index(leg)][0], hip[0], 2e-3);
    EXPECT_NEAR(bottoms[Index(leg)][1], hip[1] + feet[Index(leg)][1], 4e-3);
    EXPECT_NEAR(bottoms[Index(leg)][2], -0.255, 1e-3);
  }
}

TEST(StochLiteModelTest, UrdfInertiasAreThoseOfTheLinksAboutTheTorsosOrigin) {
  auto own = Make({}), urdf = Make({.urdf_inertias = true});
  // Moved from the link's centre to the torso's origin, our inertia of the thigh is the file's.
  const int thigh = mj_name2id(&own->model(), mjOBJ_BODY, "fl_thigh");
  const double x = 0.16693, y = 0.1458495, z = -0.078, mass = own->model().body_mass[thigh];
  const double* inertia = own->model().body_inertia + 3 * thigh;
  EXPECT_NEAR(inertia[0] + mass * (y * y + z * z), 0.00983483, 2e-5);
  EXPECT_NEAR(inertia[1] + mass * (x * x + z * z), 0.01193972, 2e-5);
  EXPECT_NEAR(inertia[2] + mass * (x * x + y * y), 0.01581035, 2e-5);
  const double* moments = urdf->model().body_inertia + 3 * thigh;
  EXPECT_NEAR(moments[0] + moments[1] + moments[2], 0.00983483 + 0.01193972 + 0.01581035, 1e-9);
  EXPECT_NE(own->model().dof_invweight0[7], urdf->model().dof_invweight0[7]);
}

TEST(StochLiteTaskTest, IdsHaveTheirObservationsAndActions) {
  for (const auto& [id, size] : std::vector<std::pair<std::string, int>>{{"StochLite-v0", 32},
                                                                         {"StochLiteRobust-v0", 32},
                                                                         {"StochLiteSlope5-v0", 32},
                                                                         {"StochLiteAuthors-v0", 8}}) {
    ASSERT_OK_AND_ASSIGN(const EnvironmentSpec spec, GetEnvironmentSpec(id));
    EXPECT_EQ(spec.observation_size, size) << id;
    EXPECT_EQ(spec.action_size, 15);
    EXPECT_EQ(spec.max_episode_steps, 1000);
    EXPECT_EQ(spec.control_period, absl::Milliseconds(10));
    EXPECT_EQ(spec.command_maximum[4], 0.1 + 0.05);
    EXPECT_EQ(spec.command_maximum[5], 0.1 - 0.05);
    EXPECT_EQ(spec.command_minimum[12], -0.5);
  }
}

TEST(StochLiteTaskTest, SlopeFiveIsFiveDegreesUphillWithHalfAMetreASecondAskedFor) {
  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<Environment> environment,
                       MakeEnvironment("StochLiteSlope5-v0", 1));
  for (int episode = 0; episode < 3; ++episode) {
    const Timestep first = environment->Reset();
    // Estimated while the torso has not yet settled.
    EXPECT_NEAR(0.1 * first.observation[10], 0, 0.021);
    EXPECT_NEAR(0.1 * first.observation[11], -5 * kDegree, 0.021);
    EXPECT_EQ(first.observation[12], 1);
  }
}

TEST(StochLiteTaskTest, BeginsStandingAlongTheSlopeAndDoesNotDrop) {
  for (const double pitch : {-0.15, 0.0, 0.15}) {
    TwinOptions options;
    options.randomisation.slope = {.roll_rad = 0.05, .pitch_rad = pitch};
    auto environment = Make(options);
    environment->Reset();
    const TaskState first = environment->task_state();
    EXPECT_NEAR(first.attitude.roll_rad, 0.05, 0.021);
    EXPECT_NEAR(first.attitude.pitch_rad, pitch, 0.021);
    EXPECT_NEAR(first.height_m, 0.255 / (std::cos(0.05) * std::cos(pitch)), 1e-9);
    for (int step = 0; step < 20; ++step) {
      environment->Step(std::vector<double>(kActionSize, 0.0));
      EXPECT_NEAR(environment->task_state().height_m, first.height_m, 0.008);
    }
  }
}

TEST(StochLiteTaskTest, HeightIsMeasuredStraightDownToTheSlope) {
  TwinOptions options;
  options.randomisation.slope = {.roll_rad = -0.08, .pitch_rad = -0.12};
  auto environment = Make(options);
  environment->Reset();
  // A ray from the torso's origin, which sees only the ground.
  const mjModel& model = environment->model();
  for (int step = 0; step < 200; ++step) {
    environment->Step({std::vector<double>{-.3, -.3, -.3, -.3, .3, .3, .3, .3, 0, 0, 0, 0, 0.7, 0, 0}});
  }
  mjData* data = mj_copyData(nullptr, &model, &environment->data());
  mj_kinematics(&model, data);
  const double down[3] = {0, 0, -1};
  const int ground = mj_name2id(&model, mjOBJ_GEOM, "ground");
  EXPECT_NEAR(environment->task_state().height_m,
              mju_rayGeom(data->geom_xpos + 3 * ground, data->geom_xmat + 9 * ground,
                          model.geom_size + 3 * ground, data->qpos, down, mjGEOM_PLANE),
              1e-9);
  mj_deleteData(data);
}

TEST(StochLiteTaskTest, VelocitiesAreAlongTheCommandedHeading) {
  auto environment = Make({});
  environment->Reset();
  std::vector<double> qpos(environment->data().qpos, environment->data().qpos + environment->model().nq);
  std::vector<double> qvel(environment->model().nv, 0.0);
  // Turned left by a quarter, flying along its own x, which is the world's y, and rolling about it.
  qpos[3] = qpos[6] = std::sqrt(0.5);
  qpos[4] = qpos[5] = 0;
  qvel[1] = 0.3;
  qvel[3] = 0.7;
  environment->StartEpisodeAt(qpos, qvel);
  const TaskState& state = environment->task_state();
  EXPECT_NEAR(state.attitude.yaw_rad, std::numbers::pi / 2, 1e-9);
  EXPECT_NEAR(state.velocity_m_s[1], 0.3, 1e-12);
  EXPECT_NEAR(state.angular_velocity_rad_s[0], 0, 1e-9);
  EXPECT_NEAR(state.angular_velocity_rad_s[1], 0.7, 1e-9);
}

TEST(StochLiteTaskTest, GaitBeginsAnewInEveryEpisode) {
  auto environment = Make({});
  environment->Reset();
  for (int step = 0; step < 33; ++step) {
    environment->Step(std::vector<double>(kActionSize, 0.3));
  }
  environment->Reset();
  EXPECT_EQ(environment->generator().state().phase_rad, 0);
  EXPECT_THAT(environment->generator().feet_m()[0], ElementsAre(0, 0.05, -0.25));
}

TEST(StochLiteTaskTest, LeaningTooFarTerminatesWithoutReward) {
  auto environment = Make({});
  for (const double roll_deg : {28.0, 33.0}) {
    StartLeaning(*environment, roll_deg * kDegree, 0.5);
    const Timestep timestep = environment->Step(std::vector<double>(kActionSize, 0.0));
    EXPECT_EQ(timestep.terminated, roll_deg > 30) << roll_deg;
    EXPECT_EQ(timestep.reward == 0, roll_deg > 30) << roll_deg;
    EXPECT_FALSE(timestep.truncated);
  }
}

TEST(StochLiteTaskTest, ClockCutsAWalkAfterTenSeconds) {
  auto environment = Make({});
  environment->Reset();
  Timestep timestep;
  int num_steps = 0;
  while (timestep.step_type != StepType::kLast) {
    timestep = environment->Step(std::vector<double>(kActionSize, 0.0));
    ++num_steps;
  }
  EXPECT_EQ(num_steps, 1000);
  EXPECT_TRUE(timestep.truncated);
  EXPECT_FALSE(timestep.terminated);
  EXPECT_NEAR(environment->data().time, 10, 1e-6);
}

}  // namespace
}  // namespace demorl::stochlite
