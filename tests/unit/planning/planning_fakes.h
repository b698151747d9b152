#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <utility>
#include <vector>

#include "common/planning/dynamics_model.h"
#include "common/planning/policy_function.h"

namespace demorl::testing {

// One row of a fake model. `draws` is empty where the planner wants means.
struct FakeRow {
  std::span<const float> observation;
  std::span<const float> action;
  int member = 0;
  std::span<const float> draws;
  float reward = 0;
  std::span<float> next_observation;
  bool terminated = false;
};

// A model given as a function of one row; remembers which members it was asked for.
class FakeModel final : public DynamicsModel {
 public:
  FakeModel(int observation_size, int action_size, int num_members, std::function<void(FakeRow&)> step)
      : observation_size_(observation_size),
        action_size_(action_size),
        num_members_(num_members),
        step_(std::move(step)) {}

  int observation_size() const override { return observation_size_; }
  int action_size() const override { return action_size_; }
  int num_elite_members() const override { return num_members_; }

  absl::Status Step(std::span<const float> observations, std::span<const float> actions,
                    std::span<const int> members, std::span<const float> draws,
                    ModelStepResult* result) override {
    const size_t rows = members.size();
    const size_t width = observation_size_;
    rows_per_call.push_back(static_cast<int>(rows));
    members_per_call.emplace_back(members.begin(), members.end());
    result->rewards.assign(rows, 0);
    result->terminated.assign(rows, 0);
    result->next_observations.assign(rows * width, 0);
    for (size_t b = 0; b < rows; ++b) {
      FakeRow row;
      row.observation = observations.subspan(b * width, width);
      row.action = actions.subspan(b * action_size_, action_size_);
      row.member = members[b];
      row.draws = draws.empty() ? draws : draws.subspan(b * (width + 1), width + 1);
      row.next_observation = {&result->next_observations[b * width], width};
      step_(row);
      result->rewards[b] = row.reward;
      result->terminated[b] = row.terminated;
    }
    return absl::OkStatus();
  }

  std::vector<int> rows_per_call;
  std::vector<std::vector<int>> members_per_call;

 private:
  const int observation_size_;
  const int action_size_;
  const int num_members_;
  const std::function<void(FakeRow&)> step_;
};

// mean = gain * observation[0] in every action, stddev before squashing `stddev`; nothing is squashed.
class FakePolicy final : public PolicyFunction {
 public:
  FakePolicy(int observation_size, int action_size, float gain, float stddev)
      : observation_size_(observation_size), action_size_(action_size), gain_(gain), stddev_(stddev) {}

  absl::Status Mean(std::span<const float> observations, std::vector<float>* actions) override {
    actions->clear();
    for (size_t b = 0; b < observations.size() / observation_size_; ++b) {
      actions->insert(actions->end(), action_size_, gain_ * observations[b * observation_size_]);
    }
    return absl::OkStatus();
  }

  absl::Status Sample(std::span<const float> observations, std::span<const float> draws,
                      std::vector<float>* actions) override {
    absl::Status status = Mean(observations, actions);
    for (size_t i = 0; i < actions->size(); ++i) {
      (*actions)[i] += stddev_ * draws[i];
    }
    return status;
  }

 private:
  const int observation_size_;
  const int action_size_;
  const float gain_;
  const float stddev_;
};

// V = value_scale * x[0]; Q = value_scale * x[0] + u[0].
class FakeValue final : public ValueFunction {
 public:
  FakeValue(int observation_size, int action_size, float value_scale)
      : observation_size_(observation_size), action_size_(action_size), value_scale_(value_scale) {}

  absl::Status Value(std::span<const float> observations, std::vector<float>* values) override {
    values->clear();
    for (size_t b = 0; b < observations.size() / observation_size_; ++b) {
      values->push_back(value_scale_ * observations[b * observation_size_]);
    }
    return absl::OkStatus();
  }

  absl::Status ActionValue(std::span<const float> observations, std::span<const float> actions,
                           std::vector<float>* values) override {
    absl::Status status = Value(observations, values);
    for (size_t b = 0; b < values->size(); ++b) {
      (*values)[b] += actions[b * action_size_];
    }
    return status;
  }

 private:
  const int observation_size_;
  const int action_size_;
  const float value_scale_;
};

}  // namespace demorl::testing
