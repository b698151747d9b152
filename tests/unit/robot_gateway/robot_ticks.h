#pragma once

#include <cstdint>
#include <vector>

#include "common/robot/recording/tick_record.h"
#include "common/tensor/environment_spec.h"

namespace demorl::testing {

inline constexpr int kRobotObservationSize = 3;
inline constexpr int kRobotActionSize = 2;

// What robots of these tests learn in.
inline EnvironmentSpec RobotEnvironment() {
  return {.environment_id = "FakeRobot-v0",
          .observation_size = kRobotObservationSize,
          .action_size = kRobotActionSize,
          .command_minimum = std::vector<double>(kRobotActionSize, -1),
          .command_maximum = std::vector<double>(kRobotActionSize, 1),
          .control_period = absl::Milliseconds(2),
          .max_episode_steps = 100};
}

// Ticks of a robot that lives episodes of 100 steps, by turns terminated and truncated. The first number of
// each observation and the reward are the tick's own index, so that rows can be told apart.
inline TickRecord RobotTick(uint64_t index) {
  constexpr uint64_t kTicks = 101;
  TickRecord record;
  record.index = index;
  record.state = RobotState::kArmed;
  const uint64_t place = index % kTicks;
  record.step = place == 0 ? TickStep::kFirst : place == kTicks - 1 ? TickStep::kLast : TickStep::kMid;
  record.terminated = record.step == TickStep::kLast && index / kTicks % 2 == 1;
  record.source = ActionSource::kPolicy;
  record.policy_version = 5;
  record.reward = static_cast<double>(index);
  record.observation[0] = static_cast<float>(index);
  record.action[0] = 0.5f;
  return record;
}

// Rows in `num_ticks` ticks that begin with an episode.
inline int64_t RobotRows(int64_t num_ticks) { return num_ticks - (num_ticks + 100) / 101; }

}  // namespace demorl::testing
