#include "common/robot/recording/segment_builder.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace demorl {
namespace {

bool AllFinite(const float* values, int count) {
  return std::all_of(values, values + count, [](float value) { return std::isfinite(value); });
}

}  // namespace

// The action of the last tick of an episode is not taken, and the reward of the first one not given.
bool SegmentBuilder::IsFinite(const TickRecord& record) const {
  return AllFinite(record.observation.data(), options_.observation_size) &&
         (record.step == TickStep::kLast || AllFinite(record.action.data(), options_.action_size)) &&
         (record.step == TickStep::kFirst || std::isfinite(static_cast<float>(record.reward)));
}

void SegmentBuilder::Add(const TickRecord& record) {
  if (in_episode_ && record.index != last_index_ + 1) {
    counts_.missing_ticks += static_cast<int64_t>(record.index - last_index_ - 1);
    Cut();
  }
  last_index_ = record.index;
  if (record.state != RobotState::kArmed || record.step == TickStep::kNone) {
    Cut();
    return;
  }
  if (!IsFinite(record)) {
    ++counts_.non_finite_ticks;
    Cut();
    return;
  }
  if (in_episode_ && record.step != TickStep::kFirst) {
    AddRow(record);
  } else if (record.step != TickStep::kLast) {
    BeginEpisode(record);
  }
}

void SegmentBuilder::OpenSegment(int first_step) {
  open_ = Segment{.episode_id = open_.episode_id, .first_step = first_step, .observations = observation_};
}

void SegmentBuilder::Remember(const TickRecord& record) {
  observation_.assign(record.observation.begin(), record.observation.begin() + options_.observation_size);
  action_.assign(record.action.begin(), record.action.begin() + options_.action_size);
  source_ = record.source;
  policy_version_ = source_ == ActionSource::kPolicy ? record.policy_version : 0;
}

void SegmentBuilder::BeginEpisode(const TickRecord& record) {
  Cut();
  in_episode_ = true;
  Remember(record);
  open_.episode_id = next_episode_id_++;
  OpenSegment(0);
}

void SegmentBuilder::AddRow(const TickRecord& record) {
  const bool intervened = source_ == ActionSource::kOperator;
  // Only now, so that an episode that is cut has a row to carry the mark.
  if (open_.num_steps >= options_.max_segment_steps || open_.intervened != intervened) {
    CloseSegment();
  }
  open_.intervened = intervened;
  counts_.episodes += open_.first_step + open_.num_steps == 0 ? 1 : 0;
  counts_.operator_rows += intervened ? 1 : 0;
  ++counts_.rows;
  ++open_.num_steps;
  open_.actions.insert(open_.actions.end(), action_.begin(), action_.end());
  open_.policy_versions.push_back(policy_version_);
  open_.rewards.push_back(static_cast<float>(record.reward));
  Remember(record);
  open_.observations.insert(open_.observations.end(), observation_.begin(), observation_.end());
  if (record.step == TickStep::kLast) {
    open_.terminated = record.terminated;
    open_.truncated = !record.terminated;
    CloseSegment();
    in_episode_ = false;
  }
}

void SegmentBuilder::CloseSegment() {
  if (open_.num_steps == 0) {
    return;
  }
  const int next_step = open_.first_step + open_.num_steps;
  const uint64_t episode_id = open_.episode_id;
  closed_.push_back(std::exchange(open_, {}));
  open_.episode_id = episode_id;
  OpenSegment(next_step);
}

void SegmentBuilder::Cut() {
  if (!in_episode_) {
    return;
  }
  in_episode_ = false;
  ++counts_.cut_episodes;
  open_.truncated = open_.num_steps > 0;
  CloseSegment();
}

std::vector<Segment> SegmentBuilder::TakeSegments() { return std::exchange(closed_, {}); }

}  // namespace demorl
