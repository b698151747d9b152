#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/tensor/transition_chunk.h"

namespace demorl {

// Who appended a segment, and when.
struct SegmentOrigin {
  // Of the core's writers.
  uint32_t writer_index = 0;
  uint64_t writer_epoch = 0;
  // Rows the table "env" had taken in then.
  int64_t environment_rows = 0;
};

// n steps in one block of memory, immutable and shared: rows of a table, batches under way and the writer of
// the store hold it together. The next observation of a step is the observation of the one after it, stored
// once. O, A: sizes of observation and action.
class PackedSegment {
 public:
  // The columns must have the lengths that `segment.num_steps` asks for.
  PackedSegment(const Segment& segment, int observation_size, int action_size, const SegmentOrigin& origin);

  int num_steps() const { return num_steps_; }
  int observation_size() const { return observation_size_; }
  int action_size() const { return action_size_; }
  // [O], step 0 to num_steps.
  std::span<const float> observation(int step) const;
  // [A].
  std::span<const float> action(int step) const;
  float reward(int step) const { return values_[rewards_offset() + static_cast<size_t>(step)]; }
  // True for the last step of a terminated segment only.
  bool terminated(int step) const { return terminated_ && step == num_steps_ - 1; }
  bool ends_episode() const { return terminated_ || truncated_; }
  bool planned() const { return planned_; }
  bool intervened() const { return intervened_; }
  uint64_t dynamics_version() const { return dynamics_version_; }
  // 0 for rows that were not planned.
  uint64_t planning_round() const { return planning_round_; }
  uint64_t episode_id() const { return episode_id_; }
  int first_step() const { return first_step_; }
  const SegmentOrigin& origin() const { return origin_; }
  size_t memory_bytes() const;

  // Steps [begin, end) as a plain segment; keeps its end flags only if it holds the last step.
  Segment Slice(int begin, int end) const;

  // A record with a CRC, and back; DATA_LOSS if the record is damaged.
  std::string Encode() const;
  static absl::StatusOr<std::shared_ptr<const PackedSegment>> Decode(absl::string_view record);

 private:
  size_t actions_offset() const { return static_cast<size_t>(num_steps_ + 1) * observation_size_; }
  size_t rewards_offset() const { return actions_offset() + static_cast<size_t>(num_steps_) * action_size_; }
  size_t disagreement_offset() const { return rewards_offset() + static_cast<size_t>(num_steps_); }
  bool has_disagreement() const { return values_.size() > disagreement_offset(); }

  int num_steps_;
  int observation_size_;
  int action_size_;
  uint64_t episode_id_;
  int first_step_;
  bool terminated_;
  bool truncated_;
  bool planned_;
  bool intervened_;
  int horizon_steps_ = 0;
  uint64_t dynamics_version_ = 0;
  uint64_t planning_round_ = 0;
  SegmentOrigin origin_;
  // Observations [n + 1, O], actions [n, A], rewards [n], disagreement [n] or nothing.
  std::vector<float> values_;
  // [n], or [1] when all are equal.
  std::vector<uint64_t> policy_versions_;
};

using SegmentPtr = std::shared_ptr<const PackedSegment>;

}  // namespace demorl
