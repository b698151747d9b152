#pragma once

#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "common/base/random.h"
#include "common/env/environment.h"
#include "common/env/state_codec.h"

namespace demorl {

struct FakeEnvironmentOptions {
  int observation_size = 3;
  int action_size = 2;
  // Length of every episode, and whether it ends by terminating or by truncation.
  int episode_steps = 7;
  bool terminates = true;
  // What the spec says; 0 for never.
  int max_episode_steps = 7;
  // The step, counted over all episodes from 1, whose observation or reward is NaN; 0 for none.
  int non_finite_observation_at = 0;
  int non_finite_reward_at = 0;
  bool non_finite_reset = false;
};

// An environment whose every number follows from its seed and its actions: observation[0] = number drawn at
// reset, [1] = step in the episode, [2] = sum of all actions of the episode; reward = action[0].
class FakeEnvironment final : public Environment {
 public:
  FakeEnvironment(const FakeEnvironmentOptions& options, uint64_t seed) : options_(options), random_(seed) {
    spec_.environment_id = "Fake-v0";
    spec_.observation_size = options.observation_size;
    spec_.action_size = options.action_size;
    spec_.command_minimum.assign(options.action_size, -1);
    spec_.command_maximum.assign(options.action_size, 1);
    spec_.control_period = absl::Milliseconds(20);
    spec_.max_episode_steps = options.max_episode_steps;
    observation_.assign(options.observation_size, 0);
  }

  const EnvironmentSpec& spec() const override { return spec_; }

  Timestep Reset() override {
    step_ = 0;
    observation_.assign(options_.observation_size, 0);
    observation_[0] = options_.non_finite_reset ? std::numeric_limits<double>::quiet_NaN() : random_.Normal();
    return Timestep{.step_type = StepType::kFirst, .observation = observation_};
  }

  Timestep Step(std::span<const double> action) override {
    constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
    ++step_;
    ++total_steps_;
    observation_[1] = step_;
    for (const double value : action) {
      observation_[2] += value;
    }
    if (total_steps_ == options_.non_finite_observation_at) {
      observation_[2] = kNaN;
    }
    const bool last = step_ >= options_.episode_steps;
    return Timestep{.step_type = last ? StepType::kLast : StepType::kMid,
                    .reward = total_steps_ == options_.non_finite_reward_at ? kNaN : action[0],
                    .terminated = last && options_.terminates,
                    .truncated = last && !options_.terminates,
                    .observation = observation_};
  }

  std::string SaveState() const override {
    StateWriter writer;
    writer.Value(random_.SaveState());
    writer.Value(step_);
    writer.Value(total_steps_);
    for (const double value : observation_) {
      writer.Value(value);
    }
    return writer.Take();
  }

  absl::Status RestoreState(absl::string_view state) override {
    StateReader reader(state);
    Random::State random_state;
    bool good = reader.Value(random_state) && reader.Value(step_) && reader.Value(total_steps_);
    for (double& value : observation_) {
      good = good && reader.Value(value);
    }
    if (!good || !reader.AtEnd()) {
      return absl::InvalidArgumentError("not the state of a FakeEnvironment");
    }
    random_.RestoreState(random_state);
    return absl::OkStatus();
  }

 private:
  const FakeEnvironmentOptions options_;
  EnvironmentSpec spec_;
  Random random_;
  int step_ = 0;
  int total_steps_ = 0;
  std::vector<double> observation_;
};

}  // namespace demorl
