#include "services/model_trainer/core/row_mirror.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace demorl {

absl::Status RowMirror::Add(const TransitionChunk& chunk) {
  if (chunk.observation_size != observation_size_ || chunk.action_size != action_size_) {
    return absl::InvalidArgumentError(absl::StrCat("chunk has observations of ", chunk.observation_size,
                                                   " and actions of ", chunk.action_size,
                                                   "; needed: ", observation_size_, " and ", action_size_));
  }
  for (const Segment& segment : chunk.segments) {
    const size_t steps = static_cast<size_t>(std::max(segment.num_steps, 0));
    if (segment.num_steps < 1 || segment.observations.size() != (steps + 1) * observation_size_ ||
        segment.actions.size() != steps * action_size_ || segment.rewards.size() != steps) {
      return absl::InvalidArgumentError(absl::StrCat("segment of ", segment.num_steps, " steps has ",
                                                     segment.observations.size(), " values of observations, ",
                                                     segment.actions.size(), " of actions and ",
                                                     segment.rewards.size(), " rewards"));
    }
  }
  for (const Segment& segment : chunk.segments) {
    AddSegment(segment);
  }
  DropOldest();
  return absl::OkStatus();
}

void RowMirror::AddSegment(const Segment& segment) {
  for (int step = 0; step < segment.num_steps; ++step) {
    const float* observation = &segment.observations[static_cast<size_t>(step) * observation_size_];
    const float* next = observation + observation_size_;
    inputs_.insert(inputs_.end(), observation, next);
    const auto action = segment.actions.begin() + static_cast<int64_t>(step) * action_size_;
    inputs_.insert(inputs_.end(), action, action + action_size_);
    targets_.push_back(segment.rewards[step]);
    for (int i = 0; i < observation_size_; ++i) {
      targets_.push_back(next[i] - observation[i]);
    }
    terminated_.push_back(segment.terminated && step + 1 == segment.num_steps);
  }
}

void RowMirror::DropOldest() {
  first_ = std::max(first_, static_cast<int64_t>(terminated_.size()) - max_rows_);
  if (first_ < max_rows_) {
    return;
  }
  inputs_.erase(inputs_.begin(), inputs_.begin() + first_ * input_size());
  targets_.erase(targets_.begin(), targets_.begin() + first_ * (1 + observation_size_));
  terminated_.erase(terminated_.begin(), terminated_.begin() + first_);
  num_erased_ += first_;
  first_ = 0;
}

std::vector<float> RowMirror::NextObservations() const {
  const std::span<const float> in = inputs(), change = targets();
  std::vector<float> next(static_cast<size_t>(num_rows()) * observation_size_);
  for (int64_t row = 0; row < num_rows(); ++row) {
    for (int i = 0; i < observation_size_; ++i) {
      next[row * observation_size_ + i] =
          in[row * input_size() + i] + change[row * (1 + observation_size_) + 1 + i];
    }
  }
  return next;
}

}  // namespace demorl
