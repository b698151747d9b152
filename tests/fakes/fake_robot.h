#pragma once

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "common/base/clock.h"
#include "common/robot/control/robot_task.h"
#include "common/robot/drivers/actuator_bus.h"
#include "common/robot/safety/safety_envelope.h"

namespace demorl {

// Actuators that answer at once with what a test says, and remember what they were told. Allocates nothing
// once made.
class FakeActuatorBus final : public ActuatorBus {
 public:
  explicit FakeActuatorBus(int num_joints)
      : state(num_joints), answers(num_joints, true), commands(num_joints) {}

  int num_joints() const override { return static_cast<int>(state.size()); }
  absl::StatusOr<std::vector<ActuatorInfo>> Identify() override {
    return std::vector<ActuatorInfo>(state.size(), ActuatorInfo{.model = "fake"});
  }
  absl::Status Configure(absl::Duration) override { return absl::OkStatus(); }
  absl::Status ClearFaults() override { return absl::OkStatus(); }

  BusResult Read(absl::Duration, std::span<JointMeasurement> measurements) override {
    for (size_t i = 0; i < state.size(); ++i) {
      measurements[i].fresh = answers[i] && !unplugged;
      if (measurements[i].fresh) {
        measurements[i] = state[i];
        measurements[i].fresh = true;
        measurements[i].time = RealClock::Get().Now();
      }
    }
    return {.code = unplugged ? BusResult::Code::kClosed : BusResult::Code::kOk};
  }
  BusResult Write(std::span<const JointCommand> written) override {
    std::copy(written.begin(), written.end(), commands.begin());
    return {.code = write_code};
  }
  BusCounters counters() const override { return {}; }
  std::string DescribeFault(uint32_t fault) const override { return "fault " + std::to_string(fault); }

  std::vector<JointMeasurement> state;
  std::vector<char> answers;
  bool unplugged = false;
  std::vector<JointCommand> commands;
  // What the next writes answer.
  BusResult::Code write_code = BusResult::Code::kOk;
};

// A task of torque-driven joints: observation = positions and velocities, command = torque of 1 N m per
// action, reward = first position; terminates where the first position exceeds 0.9 rad. Reset asks for
// position 0 and is there within 0.1 rad.
class FakeRobotTask final : public RobotTask {
 public:
  explicit FakeRobotTask(int num_joints, int max_episode_steps = 100)
      : num_joints_(num_joints),
        spec_{.environment_id = "FakeRobot-v0",
              .observation_size = 2 * num_joints,
              .action_size = num_joints,
              .command_minimum = std::vector<double>(num_joints, -1),
              .command_maximum = std::vector<double>(num_joints, 1),
              .control_period = absl::Milliseconds(2),
              .max_episode_steps = max_episode_steps} {}

  const EnvironmentSpec& spec() const override { return spec_; }
  int num_joints() const override { return num_joints_; }

  bool Reset(const RobotMeasurement& measurement, absl::Duration, std::span<JointCommand> commands) override {
    bool there = true;
    for (int i = 0; i < num_joints_; ++i) {
      commands[i] = {.mode = ActuatorMode::kPosition, .stiffness_nm_rad = 1, .damping_nm_s_rad = 0.1};
      there = there && std::abs(measurement.joints[i].position_rad) < 0.1;
    }
    return there;
  }
  void BeginEpisode(const RobotMeasurement&, Random&) override { ++num_episodes; }
  Outcome Evaluate(const RobotMeasurement& measurement, int num_periods) override {
    periods_evaluated += num_periods;
    const double position = measurement.joints[0].position_rad;
    return {.reward = position, .terminated = position > 0.9};
  }
  void Observe(const RobotMeasurement& measurement, std::span<float> observation) override {
    for (int i = 0; i < num_joints_; ++i) {
      observation[2 * i] = static_cast<float>(measurement.joints[i].position_rad);
      observation[2 * i + 1] = static_cast<float>(measurement.joints[i].velocity_rad_s);
    }
  }
  void Command(const RobotMeasurement&, std::span<const float> action,
               std::span<JointCommand> commands) override {
    for (int i = 0; i < num_joints_; ++i) {
      commands[i] = {.mode = ActuatorMode::kTorque, .torque_nm = poisons_commands ? NAN : action[i]};
    }
  }

  // Commands are NaN.
  bool poisons_commands = false;
  int num_episodes = 0;
  int periods_evaluated = 0;

 private:
  const int num_joints_;
  const EnvironmentSpec spec_;
};

// Limits that a fake robot stays within unless a test wants otherwise.
inline std::vector<JointLimits> FakeRobotLimits(int num_joints) {
  return std::vector<JointLimits>(num_joints, {.joint_name = "joint",
                                               .minimum_position_rad = -2,
                                               .maximum_position_rad = 2,
                                               .soft_zone_rad = 0.1,
                                               .soft_zone_stiffness_nm_rad = 10,
                                               .maximum_velocity_rad_s = 20,
                                               .maximum_torque_nm = 2,
                                               .maximum_torque_rate_nm_s = 1e5,
                                               .safe_damping_nm_s_rad = 0.2,
                                               .hold_stiffness_nm_rad = 5});
}

}  // namespace demorl
