#pragma once

#include <cstdint>
#include <vector>

#include "common/robot/recording/tick_record.h"
#include "common/tensor/transition_chunk.h"

namespace demorl {

// Makes transitions of a robot's ticks. An episode that a robot does not live to its end, since it leaves the
// armed state or a tick is missing (missed by the loop, or dropped on its way here), is truncated after its
// last whole row, never terminated; what follows a missing tick is an episode of its own. Thread-compatible.
class SegmentBuilder {
 public:
  struct Options {
    int observation_size = 0;
    int action_size = 0;
    // Rows of a segment, at most.
    int max_segment_steps = 50;
    // Unique over restarts: start count << 40, say.
    uint64_t first_episode_id = 0;
  };
  struct Counts {
    int64_t rows = 0;
    int64_t episodes = 0;  // that were begun and have rows
    // Ticks missing within episodes.
    int64_t missing_ticks = 0;
    // Episodes cut without the robot's task having ended them.
    int64_t cut_episodes = 0;
    // Ticks with a NaN or an infinity where rows need numbers; nothing of them is written.
    int64_t non_finite_ticks = 0;
    // Rows whose action an operator chose: in segments of their own, marked so, with policy version 0.
    int64_t operator_rows = 0;
  };

  explicit SegmentBuilder(const Options& options)
      : options_(options), next_episode_id_(options.first_episode_id) {}

  // Ticks in order of index.
  void Add(const TickRecord& record);

  // Closes the open segment without ending its episode. If the episode is cut just then, no row carries the
  // mark.
  void CloseSegment();
  // Ends the running episode after its last row.
  void Cut();

  // What was closed since the last call.
  std::vector<Segment> TakeSegments();
  // Rows of the open segment.
  int open_rows() const { return open_.num_steps; }
  const Counts& counts() const { return counts_; }

 private:
  void BeginEpisode(const TickRecord& record);
  void AddRow(const TickRecord& record);
  void Remember(const TickRecord& record);
  void OpenSegment(int first_step);
  bool IsFinite(const TickRecord& record) const;

  const Options options_;
  uint64_t next_episode_id_;
  bool in_episode_ = false;
  uint64_t last_index_ = 0;
  // Of the tick before, whose outcome the next tick tells.
  std::vector<float> observation_;
  std::vector<float> action_;
  uint64_t policy_version_ = 0;
  ActionSource source_ = ActionSource::kNone;
  Segment open_;
  std::vector<Segment> closed_;
  Counts counts_;
};

}  // namespace demorl
