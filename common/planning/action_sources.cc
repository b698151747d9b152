#include "common/planning/action_sources.h"

#include <algorithm>

#include "common/base/status_macros.h"

namespace demorl {

std::vector<float> AddNoise(const std::vector<float>& base, const std::vector<float>& noise, int num_samples,
                            int plan_size, double action_bound) {
  const auto bound = static_cast<float>(action_bound);
  std::vector<float> actions(noise.size());
  for (size_t i = 0; i < noise.size(); ++i) {
    const size_t start = i / (static_cast<size_t>(num_samples) * plan_size);
    actions[i] = std::clamp(base[start * plan_size + i % plan_size] + noise[i], -bound, bound);
  }
  return actions;
}

CandidateActions::CandidateActions(const Options& options, PolicyFunction* policy,
                                   std::span<Random> policy_streams)
    : options_(options),
      policy_(policy),
      streams_(policy_streams),
      num_rows_(static_cast<int>(policy_streams.size()) * options.num_samples),
      plan_size_(static_cast<int>(options.noise.size()) / num_rows_) {
  for (int row = 0; row < num_rows_; ++row) {
    const int sample = row % options.num_samples;
    if (options.follow_policy || sample >= options.num_samples - options.num_proposals) {
      policy_rows_.push_back(row);
    }
  }
}

absl::Status CandidateActions::Actions(int step, std::span<const float> observations,
                                       std::vector<float>* actions) {
  const int size = options_.action_size;
  actions->resize(static_cast<size_t>(num_rows_) * size);
  const size_t offset = static_cast<size_t>(step) * size;
  if (!options_.follow_policy) {
    for (int row = 0; row < num_rows_; ++row) {
      const size_t start = row / options_.num_samples;
      std::copy_n(&options_.base[start * plan_size_ + offset], size,
                  &(*actions)[static_cast<size_t>(row) * size]);
    }
  }
  if (!policy_rows_.empty()) {
    RETURN_IF_ERROR(PolicyActions(observations, actions));
  }
  for (int row = 0; row < num_rows_; ++row) {
    const float* noise = &options_.noise[static_cast<size_t>(row) * plan_size_ + offset];
    for (int a = 0; a < size; ++a) {
      (*actions)[static_cast<size_t>(row) * size + a] += noise[a];
    }
  }
  return absl::OkStatus();
}

absl::Status CandidateActions::PolicyActions(std::span<const float> observations,
                                             std::vector<float>* actions) {
  const int width = options_.observation_size;
  const int size = options_.action_size;
  std::span<const float> inputs = observations;
  if (static_cast<int>(policy_rows_.size()) < num_rows_) {
    gathered_.resize(policy_rows_.size() * width);
    for (size_t i = 0; i < policy_rows_.size(); ++i) {
      std::copy_n(&observations[static_cast<size_t>(policy_rows_[i]) * width], width, &gathered_[i * width]);
    }
    inputs = gathered_;
  }
  if (options_.sampled_policy) {
    draws_.assign(policy_rows_.size() * size, 0.0F);
    for (size_t i = 0; i < policy_rows_.size(); ++i) {
      if (policy_rows_[i] % options_.num_samples != 0 || options_.sampled_base) {
        streams_[policy_rows_[i] / options_.num_samples].FillNormal(
            {&draws_[i * size], static_cast<size_t>(size)});
      }
    }
    RETURN_IF_ERROR(policy_->Sample(inputs, draws_, &policy_actions_));
  } else {
    RETURN_IF_ERROR(policy_->Mean(inputs, &policy_actions_));
  }
  for (size_t i = 0; i < policy_rows_.size(); ++i) {
    std::copy_n(&policy_actions_[i * size], size, &(*actions)[static_cast<size_t>(policy_rows_[i]) * size]);
  }
  return absl::OkStatus();
}

absl::Status OpenLoopActions::Actions(int step, std::span<const float> /*observations*/,
                                      std::vector<float>* actions) {
  const size_t plan_size = static_cast<size_t>(horizon_steps_) * action_size_;
  const size_t num_rows = plans_.size() / plan_size * repeats_;
  actions->resize(num_rows * action_size_);
  for (size_t row = 0; row < num_rows; ++row) {
    std::copy_n(&plans_[row / repeats_ * plan_size + static_cast<size_t>(step) * action_size_], action_size_,
                &(*actions)[row * action_size_]);
  }
  return absl::OkStatus();
}

absl::Status StochasticPolicyActions::Actions(int /*step*/, std::span<const float> observations,
                                              std::vector<float>* actions) {
  draws_.resize(streams_.size() * action_size_);
  for (size_t row = 0; row < streams_.size(); ++row) {
    streams_[row].FillNormal({&draws_[row * action_size_], static_cast<size_t>(action_size_)});
  }
  return policy_->Sample(observations, draws_, actions);
}

}  // namespace demorl
