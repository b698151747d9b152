#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "common/planning/dmd_mpc.h"
#include "tests/testing/status_matchers.h"
#include "tests/unit/planning/planning_fakes.h"

namespace demorl::testing {

inline constexpr float kModelStddev = 0.05F;

// Double integrator with quadratic cost: the linear-quadratic problem that planners are checked on.
inline void LinearQuadraticStep(FakeRow& row) {
  const float position = row.observation[0];
  const float velocity = row.observation[1];
  row.next_observation[0] = position + 0.1F * velocity;
  row.next_observation[1] = velocity + 0.3F * row.action[0] + 0.02F * row.member;
  if (!row.draws.empty()) {
    row.next_observation[1] += kModelStddev * row.draws[2];
  }
  row.reward = -position * position - 0.1F * velocity * velocity - 0.05F * row.action[0] * row.action[0];
}

// x' = x + u, reward = u (plus the member's index): every return is a hand-computable sum.
inline void SumStep(FakeRow& row) {
  row.next_observation[0] = row.observation[0] + row.action[0];
  row.reward = row.action[0] + static_cast<float>(row.member);
}

// Counts steps in x; terminates on reaching 3; reward 1 a step.
inline void CountingStep(FakeRow& row) {
  row.next_observation[0] = row.observation[0] + 1;
  row.reward = 1;
  row.terminated = row.next_observation[0] >= 3;
}

// A planner with the fakes it plans with, O = 2 for the linear-quadratic model and 1 otherwise.
struct Bench {
  Bench(const DmdMpcOptions& options, int observation_size, int num_members, void (*step)(FakeRow&),
        float gain = 0, float value_scale = 0)
      : model(observation_size, 1, num_members, step),
        policy(observation_size, 1, gain, 0.2F),
        value(observation_size, 1, value_scale) {
    auto made = DmdMpc::Create(options, {.model = &model, .policy = &policy, .value = &value});
    EXPECT_OK(made);
    planner = *std::move(made);
  }

  FakeModel model;
  FakePolicy policy;
  FakeValue value;
  std::unique_ptr<DmdMpc> planner;
};

inline PlanningTask MakeTask(const std::vector<float>& starts, int horizon_steps, uint64_t seed = 1) {
  return {.horizon_steps = horizon_steps, .start_observations = starts, .seed = seed};
}

// Start states of the linear-quadratic problem.
inline std::vector<float> GridOfStarts(int count) {
  std::vector<float> starts;
  for (int s = 0; s < count; ++s) {
    starts.push_back(1.5F - 3.0F * s / count);
    starts.push_back(-0.5F + 1.0F * (s % 5) / 4);
  }
  return starts;
}

}  // namespace demorl::testing
