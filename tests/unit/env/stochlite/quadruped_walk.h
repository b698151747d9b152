#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "common/env/tasks/stochlite/quadruped_environment.h"
#include "gmock/gmock.h"

namespace demorl::stochlite {

// What came of an episode of a simulated quadruped.
struct Walk {
  int num_steps = 0;
  bool terminated = false;
  double forward_m = 0;
  double sideways_m = 0;
  double yaw_rad = 0;
  double mean_reward = 0;
  double min_height_m = 1;
  double max_height_m = 0;
  // Mean over all steps.
  double plane_error_rad = 0;
};

// Walks an episode of at most `max_steps`; `choose_action` answers with an action to the task's state.
template <typename Twin, typename ChooseAction>
Walk RunWalk(Twin& twin, int max_steps, ChooseAction choose_action) {
  twin.Reset();
  Walk walk;
  for (Timestep timestep; walk.num_steps < max_steps && timestep.step_type != StepType::kLast;) {
    timestep = twin.Step(choose_action(twin.task_state()));
    ++walk.num_steps;
    walk.terminated = timestep.terminated;
    walk.mean_reward += timestep.reward;
    const auto& state = twin.task_state();
    walk.min_height_m = std::min(walk.min_height_m, state.height_m);
    walk.max_height_m = std::max(walk.max_height_m, state.height_m);
    const PlaneAngles& slope = twin.draw().slope;
    walk.plane_error_rad +=
        std::hypot(state.plane.roll_rad - slope.roll_rad, state.plane.pitch_rad - slope.pitch_rad);
  }
  walk.mean_reward /= walk.num_steps;
  walk.plane_error_rad /= walk.num_steps;
  walk.forward_m = twin.data().qpos[0];
  walk.sideways_m = twin.data().qpos[1];
  walk.yaw_rad = twin.task_state().attitude.yaw_rad;
  return walk;
}

// The same walk in a coarser and a finer simulation.
inline void ExpectSameWalk(const Walk& walk, const Walk& reference, double reward_tolerance,
                           double height_tolerance_m) {
  EXPECT_NEAR(walk.forward_m, reference.forward_m, 0.05 * reference.forward_m);
  EXPECT_NEAR(walk.mean_reward, reference.mean_reward, reward_tolerance * reference.mean_reward);
  EXPECT_NEAR(walk.min_height_m, reference.min_height_m, height_tolerance_m);
  EXPECT_NEAR(walk.max_height_m, reference.max_height_m, height_tolerance_m);
}

// A robot of this mass with twelve servos, those of kJointNames in their order.
inline void ExpectTwelveServos(const mjModel& model, double mass_kg, double stiffness, double damping) {
  EXPECT_NEAR(mj_getTotalmass(&model), mass_kg, 1e-9);
  EXPECT_EQ(model.nv, 18);
  ASSERT_EQ(model.nu, kNumJoints);
  for (int motor = 0; motor < model.nu; ++motor) {
    EXPECT_STREQ(mj_id2name(&model, mjOBJ_ACTUATOR, motor), kJointNames[motor]);
    EXPECT_EQ(model.actuator_trnid[2 * motor], mj_name2id(&model, mjOBJ_JOINT, kJointNames[motor]));
    EXPECT_EQ(model.jnt_qposadr[model.actuator_trnid[2 * motor]], 7 + motor);
    EXPECT_EQ(model.actuator_gainprm[mjNGAIN * motor], stiffness);
    EXPECT_EQ(model.actuator_biasprm[mjNBIAS * motor + 1], -stiffness);
    EXPECT_EQ(model.actuator_biasprm[mjNBIAS * motor + 2], -damping);
    EXPECT_EQ(model.actuator_forcerange[2 * motor + 1], 7);
  }
}

// Where the feet touch the ground in the model's own pose, with joints [12], from the torso's origin.
inline PerLeg<Vector3> FootBottoms_m(const mjModel& model,
                                     const std::array<double, kNumJoints>& positions_rad) {
  mjData* data = mj_makeData(&model);
  std::ranges::copy(positions_rad, data->qpos + 7);
  mj_kinematics(&model, data);
  constexpr PerLeg<const char*> kFeet = {"fl_foot", "fr_foot", "bl_foot", "br_foot"};
  PerLeg<Vector3> bottoms_m;
  for (const Leg leg : kLegs) {
    const int foot = mj_name2id(&model, mjOBJ_GEOM, kFeet[Index(leg)]);
    for (int axis = 0; axis < 3; ++axis) {
      bottoms_m[Index(leg)][axis] = data->geom_xpos[3 * foot + axis] - data->qpos[axis];
    }
    bottoms_m[Index(leg)][2] -= model.geom_size[3 * foot];
  }
  mj_deleteData(data);
  return bottoms_m;
}

// The state of a torso that leans by `roll_rad` at `height_m`.
template <typename Twin>
void StartLeaning(Twin& twin, double roll_rad, double height_m) {
  twin.Reset();
  std::vector<double> qpos(twin.data().qpos, twin.data().qpos + twin.model().nq);
  qpos[2] = height_m;
  qpos[3] = std::cos(roll_rad / 2);
  qpos[4] = std::sin(roll_rad / 2);
  qpos[5] = qpos[6] = 0;
  twin.StartEpisodeAt(qpos, std::vector<double>(twin.model().nv, 0.0));
}

// Both go on alike until the episode ends or for `num_steps`.
template <typename Twin>
void ExpectSameSteps(Twin& original, Twin& copy, const std::vector<double>& action, int num_steps) {
  for (int step = 0; step < num_steps; ++step) {
    const Timestep a = original.Step(action), b = copy.Step(action);
    ASSERT_TRUE(std::ranges::equal(a.observation, b.observation)) << "step " << step;
    ASSERT_EQ(a.reward, b.reward);
    if (a.step_type == StepType::kLast) {
      break;
    }
  }
}

}  // namespace demorl::stochlite
