#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "common/tensor/transition_chunk.h"

namespace demorl {

// The newest rows of D_ENV as columns, in insertion order. O and A: sizes of observation and action.
// Thread-compatible.
class RowMirror {
 public:
  // Beyond max_rows the oldest are dropped.
  RowMirror(int observation_size, int action_size, int64_t max_rows)
      : observation_size_(observation_size), action_size_(action_size), max_rows_(max_rows) {}

  // INVALID_ARGUMENT for a chunk of other sizes or with columns of other lengths; nothing is added then.
  absl::Status Add(const TransitionChunk& chunk);

  // Rows that were added before the oldest one that is kept.
  int64_t num_dropped() const { return num_erased_ + first_; }
  int64_t num_rows() const { return static_cast<int64_t>(terminated_.size()) - first_; }

  std::span<const float> inputs() const { return Tail(inputs_, input_size()); }             // [N, O + A]
  std::span<const float> targets() const { return Tail(targets_, 1 + observation_size_); }  // [N, 1 + O]
  std::span<const uint8_t> terminated() const { return Tail(terminated_, 1); }              // [N]

  // Observation plus its change, [N, O].
  std::vector<float> NextObservations() const;

 private:
  template <typename T>
  std::span<const T> Tail(const std::vector<T>& column, int64_t width) const {
    return std::span<const T>(column).subspan(first_ * width);
  }
  int64_t input_size() const { return observation_size_ + action_size_; }
  void AddSegment(const Segment& segment);
  void DropOldest();

  const int observation_size_;
  const int action_size_;
  const int64_t max_rows_;
  // Rows before this one are dropped; their memory goes when they are as many as those that are kept.
  int64_t first_ = 0;
  int64_t num_erased_ = 0;
  std::vector<float> inputs_;
  std::vector<float> targets_;
  std::vector<uint8_t> terminated_;
};

}  // namespace demorl
