// The leg's simulated twin: its dynamics against the rigid-body figures, and what a controller that knows
// them earns.
#include <mujoco/mujoco.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <vector>

#include "common/env/mujoco_environment.h"
#include "common/env/registry.h"
#include "common/env/tasks/leg/leg_model.h"
#include "common/env/tasks/leg/leg_task.h"
#include "common/env/tasks/leg/leg_variants.h"
#include "gmock/gmock.h"
#include "tests/testing/status_matchers.h"

namespace demorl {
namespace {

constexpr double kPi = std::numbers::pi;

MjDataHandle MakeData(const mjModel& model) { return MjDataHandle(mj_makeData(&model)); }

struct JointReference {
  LegVector position, velocity, acceleration;
};

// The path in joint space, by central differences around a phase.
class JointPath {
 public:
  explicit JointPath(const LegParameters& parameters)
      : kinematics_(parameters.Kinematics()),
        path_(parameters.path_half_length_m, parameters.path_base_m, parameters.path_lift_m),
        rate_(2 * kPi * parameters.path_frequency_hz) {}

  JointReference At(double phase) const {
    constexpr double kStep = 1e-4;
    const LegVector behind = Joints(phase - kStep), here = Joints(phase), ahead = Joints(phase + kStep);
    JointReference reference{.position = here};
    for (const int j : {0, 1}) {
      reference.velocity[j] = (ahead[j] - behind[j]) / (2 * kStep) * rate_;
      reference.acceleration[j] = (ahead[j] - 2 * here[j] + behind[j]) / (kStep * kStep) * rate_ * rate_;
    }
    return reference;
  }

 private:
  LegVector Joints(double phase) const { return *kinematics_.JointPositions(path_.PositionAt(phase)); }

  LegKinematics kinematics_;
  FootPath path_;
  double rate_;
};

// Torques that MuJoCo's inverse dynamics asks for.
LegVector InverseDynamics(const mjModel& model, mjData* data, const JointReference& motion) {
  std::copy(motion.position.begin(), motion.position.end(), data->qpos);
  std::copy(motion.velocity.begin(), motion.velocity.end(), data->qvel);
  std::copy(motion.acceleration.begin(), motion.acceleration.end(), data->qacc);
  mj_inverse(&model, data);
  return {data->qfrc_inverse[0], data->qfrc_inverse[1]};
}

// 99th percentile of the absolute torques over the cycle, without the two corners.
LegVector TorqueNeeded(double frequency_hz) {
  LegParameters parameters;
  parameters.path_frequency_hz = frequency_hz;
  parameters.rotor_inertia_kg_m2 = 0;
  parameters.viscous_friction_nm_s_rad = 0;
  const MjModelHandle model = *MakeLegModel(parameters);
  const MjDataHandle data = MakeData(*model);
  const JointPath path(parameters);
  std::array<std::vector<double>, 2> torques;
  for (double phase = 0.001; phase < 2 * kPi; phase += 0.002) {
    if (std::abs(std::remainder(phase, kPi)) < 3e-4) {
      continue;
    }
    const LegVector torque = InverseDynamics(*model, data.get(), path.At(phase));
    torques[0].push_back(std::abs(torque[0]));
    torques[1].push_back(std::abs(torque[1]));
  }
  LegVector percentile;
  for (const int j : {0, 1}) {
    std::ranges::sort(torques[j]);
    percentile[j] = torques[j][torques[j].size() * 99 / 100];
  }
  return percentile;
}

struct NeededTorque {
  double frequency_hz, hip_nm, knee_nm;
};

TEST(LegTwinTest, PathAsksForTheRigidBodyTorquesThatWereComputedByHand) {
  for (const NeededTorque& expected : {NeededTorque{0.2, 0.63, 0.25}, {1, 0.53, 0.21}, {2, 2.1, 0.61}}) {
    const LegVector torque = TorqueNeeded(expected.frequency_hz);
    EXPECT_NEAR(torque[0], expected.hip_nm, 0.03 * expected.hip_nm) << expected.frequency_hz << " Hz";
    EXPECT_NEAR(torque[1], expected.knee_nm, 0.03 * expected.knee_nm) << expected.frequency_hz << " Hz";
  }
}

TEST(LegTwinTest, ModelHasTheLengthsOfTheKinematics) {
  LegParameters parameters;
  parameters.link_length_m = {0.3, 0.25};
  parameters.path_base_m = -0.4;
  ASSERT_OK(Validate(parameters));
  ASSERT_OK_AND_ASSIGN(const MjModelHandle model, MakeLegModel(parameters));
  const MjDataHandle data = MakeData(*model);
  const int foot = mj_name2id(model.get(), mjOBJ_GEOM, "foot");
  for (const LegVector& joints : {LegVector{0, 0}, {0.7, -1.4}, {-0.5, 2}}) {
    std::copy(joints.begin(), joints.end(), data->qpos);
    mj_kinematics(model.get(), data.get());
    const LegVector expected = parameters.Kinematics().FootPosition(joints);
    EXPECT_NEAR(data->geom_xpos[3 * foot], expected[0], 1e-15);
    EXPECT_NEAR(data->geom_xpos[3 * foot + 1], 0, 1e-15);
    EXPECT_NEAR(data->geom_xpos[3 * foot + 2], expected[1], 1e-15);
  }
}

TEST(LegTwinTest, ModelHasTheParametersOfItsOwnCaller) {
  LegParameters other;
  other.link_mass_kg = {1, 2};
  other.rotor_inertia_kg_m2 = 0.02;
  other.viscous_friction_nm_s_rad = 0.3;
  other.max_joint_torque_nm = {5, 6};
  other.control_period = absl::Milliseconds(1);
  ASSERT_OK_AND_ASSIGN(const MjModelHandle first, MakeLegModel(other));
  ASSERT_OK_AND_ASSIGN(const MjModelHandle second, MakeLegModel({}));
  const int shank = mj_name2id(first.get(), mjOBJ_BODY, "shank");
  EXPECT_EQ(first->body_mass[shank], 2);
  EXPECT_EQ(second->body_mass[shank], 0.2);
  EXPECT_EQ(first->dof_armature[1], 0.02);
  EXPECT_EQ(second->dof_armature[1], 1e-3);
  EXPECT_EQ(first->dof_damping[0], 0.3);
  EXPECT_EQ(second->dof_damping[0], 0.05);
  EXPECT_EQ(first->actuator_ctrlrange[3], 6);
  EXPECT_EQ(second->actuator_ctrlrange[3], 2);
  EXPECT_EQ(first->opt.timestep, 0.001);
  EXPECT_EQ(second->opt.timestep, 0.002);
}

TEST(LegTwinTest, EnergyIsConservedWithoutFrictionAndTorque) {
  LegParameters parameters;
  parameters.viscous_friction_nm_s_rad = 0;
  ASSERT_OK_AND_ASSIGN(const MjModelHandle model, MakeLegModel(parameters));
  const MjDataHandle data = MakeData(*model);
  data->qpos[0] = 1.5;
  data->qpos[1] = -2;
  const auto energy = [&] {
    mj_forward(model.get(), data.get());
    mj_energyPos(model.get(), data.get());
    mj_energyVel(model.get(), data.get());
    return data->energy[0] + data->energy[1];
  };
  const double start = energy();
  double largest_kinetic = 0, drift = 0;
  for (int step = 0; step < 5000; ++step) {
    mj_step(model.get(), data.get());
    drift = std::max(drift, std::abs(energy() - start));
    largest_kinetic = std::max(largest_kinetic, data->energy[1]);
  }
  EXPECT_GT(largest_kinetic, 0.5);
  EXPECT_LT(drift, 1e-5 * largest_kinetic);
}

TEST(LegTwinTest, FrictionBringsTheLegToRest) {
  ASSERT_OK_AND_ASSIGN(const MjModelHandle model, MakeLegModel({}));
  const MjDataHandle data = MakeData(*model);
  data->qpos[0] = 1;
  for (int step = 0; step < 15000; ++step) {
    mj_step(model.get(), data.get());
  }
  EXPECT_LT(std::abs(data->qpos[0]) + std::abs(data->qvel[0]), 0.01);
}

std::unique_ptr<MujocoEnvironment> MakeTwin(const std::string& id, uint64_t seed) {
  absl::StatusOr<std::unique_ptr<Environment>> environment = MakeEnvironment(id, seed);
  EXPECT_OK(environment);
  return std::unique_ptr<MujocoEnvironment>(dynamic_cast<MujocoEnvironment*>(environment->release()));
}

LegState StateOf(const MujocoEnvironment& twin) {
  return {{twin.data().qpos[0], twin.data().qpos[1]}, {twin.data().qvel[0], twin.data().qvel[1]}};
}

// Inverse dynamics along the path and a joint PD: what a good policy could do.
class PathController {
 public:
  explicit PathController(const LegParameters& parameters)
      : parameters_(parameters),
        path_(parameters),
        model_(*MakeLegModel(parameters)),
        data_(MakeData(*model_)) {}

  std::vector<double> Action(double phase, const LegState& state) {
    const JointReference reference = path_.At(phase + parameters_.PhaseStep());
    const LegVector torque = InverseDynamics(*model_, data_.get(), reference);
    std::vector<double> action(2);
    for (const int j : {0, 1}) {
      const double pd = kStiffness[j] * (reference.position[j] - state.joint_position_rad[j]) +
                        kDamping[j] * (reference.velocity[j] - state.joint_velocity_rad_s[j]);
      action[j] = (torque[j] + pd) / parameters_.max_joint_torque_nm[j];
    }
    return action;
  }

 private:
  static constexpr LegVector kStiffness = {40, 20};  // N m/rad
  static constexpr LegVector kDamping = {1.5, 0.5};  // N m s/rad

  const LegParameters parameters_;
  const JointPath path_;
  const MjModelHandle model_;
  const MjDataHandle data_;
};

struct Performance {
  double episode_return = 0;
  double rms_error_m = 0;
  int steps = 0;
  Timestep last;
};

Performance FollowPath(const std::string& id) {
  const LegParameters parameters = *FindLegParameters(id);
  const auto twin = MakeTwin(id, 3);
  PathController controller(parameters);
  LegTask clock(parameters);
  Performance performance;
  double squares = 0;
  performance.last = twin->Reset();
  while (performance.last.step_type != StepType::kLast) {
    performance.last = twin->Step(controller.Action(clock.memory().phase, StateOf(*twin)));
    clock.Advance();
    const LegVector foot = clock.kinematics().FootPosition(StateOf(*twin).joint_position_rad);
    const LegVector desired = clock.DesiredFootPosition();
    squares +=
        (foot[0] - desired[0]) * (foot[0] - desired[0]) + (foot[1] - desired[1]) * (foot[1] - desired[1]);
    performance.episode_return += performance.last.reward;
    ++performance.steps;
  }
  performance.rms_error_m = std::sqrt(squares / performance.steps);
  return performance;
}

TEST(LegTwinTest, ControllerThatKnowsTheDynamicsEarnsNearlyAllThereIs) {
  const Performance performance = FollowPath("Leg2R-v0");
  EXPECT_EQ(performance.steps, 1000);
  EXPECT_TRUE(performance.last.truncated);
  EXPECT_FALSE(performance.last.terminated);
  EXPECT_LT(performance.rms_error_m, 0.006);
  EXPECT_GT(performance.episode_return, 970);
  RecordProperty("return", std::to_string(performance.episode_return));
}

TEST(LegTwinTest, SlowPathIsOneCycleInAnEpisode) {
  const Performance performance = FollowPath("Leg2RSlow-v0");
  EXPECT_EQ(performance.steps, 2500);
  EXPECT_LT(performance.rms_error_m, 0.006);
  EXPECT_GT(performance.episode_return, 2450);
}

TEST(LegTwinTest, AuthorsTorquesSufficeForThePath) {
  const Performance performance = FollowPath("Leg2RAuthors-v0");
  EXPECT_EQ(performance.steps, 1000);
  EXPECT_LT(performance.rms_error_m, 0.01);
}

TEST(LegTwinTest, EpisodesStartAtRestNearTheStartOfThePath) {
  const auto twin = MakeTwin("Leg2R-v0", 5);
  const LegTask task({});
  const LegVector start = task.StartJointPositions();
  LegVector previous{};
  for (int episode = 0; episode < 50; ++episode) {
    const Timestep timestep = twin->Reset();
    const LegState state = StateOf(*twin);
    for (const int j : {0, 1}) {
      EXPECT_LE(std::abs(state.joint_position_rad[j] - start[j]), 0.02);
      EXPECT_NE(state.joint_position_rad[j], previous[j]);
      EXPECT_EQ(state.joint_velocity_rad_s[j], 0);
      EXPECT_EQ(timestep.observation[2 + j], state.joint_position_rad[j]);
    }
    EXPECT_EQ(timestep.observation[0], 1);
    previous = state.joint_position_rad;
  }
}

TEST(LegTwinTest, FullActionIsTheTorqueLimitAtTheJoint) {
  const auto twin = MakeTwin("Leg2R-v0", 1);
  twin->Reset();
  twin->Step(std::vector<double>{1, -0.5});
  EXPECT_EQ(twin->data().qfrc_actuator[0], 2);
  EXPECT_EQ(twin->data().qfrc_actuator[1], -1);
}

TEST(LegTwinTest, LegThatIsNotDrivenFallsOutOfBounds) {
  const auto twin = MakeTwin("Leg2R-v0", 1);
  Timestep timestep = twin->Reset();
  while (timestep.step_type != StepType::kLast) {
    timestep = twin->Step(std::vector<double>{0, 0});
  }
  EXPECT_TRUE(timestep.terminated);
  EXPECT_FALSE(timestep.truncated);
}

TEST(LegTwinTest, DesiredFootIsDrawnWhereTheFootShouldBe) {
  const auto twin = MakeTwin("Leg2R-v0", 1);
  twin->Reset();
  LegTask task({});
  for (int step = 0; step < 20; ++step) {
    twin->Step(std::vector<double>{0, 0});
    task.Advance();
  }
  EXPECT_EQ(twin->data().mocap_pos[0], task.DesiredFootPosition()[0]);
  EXPECT_EQ(twin->data().mocap_pos[2], task.DesiredFootPosition()[1]);
}

// The phase and the last actions are nowhere in MuJoCo's state; with the mean of two actions the torque
// itself depends on them.
TEST(LegTwinTest, PhaseAndLastActionsAreSavedAndRestored) {
  const auto original = MakeTwin("Leg2RAuthors-v0", 1), restored = MakeTwin("Leg2RAuthors-v0", 2);
  original->Reset();
  for (int step = 0; step < 30; ++step) {
    original->Step(std::vector<double>{0.5, 0.01 * step});
  }
  ASSERT_OK(restored->RestoreState(original->SaveState()));
  for (int step = 0; step < 30; ++step) {
    const std::vector<double> action = {-0.2, 0.02 * step};
    const Timestep a = original->Step(action), b = restored->Step(action);
    ASSERT_TRUE(std::ranges::equal(a.observation, b.observation)) << step;
    ASSERT_EQ(a.reward, b.reward);
  }
}

}  // namespace
}  // namespace demorl
