#include "services/replay/core/table.h"

#include <algorithm>
#include <map>
#include <tuple>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/base/random.h"
#include "common/base/status_macros.h"

namespace demorl {

Table::Table(const TableOptions& options, uint64_t seed)
    : options_(options),
      selector_(MakeSelector(options.selector, SplitSeed(seed, options.name))),
      limiter_(options.rate_limiter) {}

absl::Status Table::SetEnvironment(const EnvironmentSpec& environment) {
  if (!environment_.has_value()) {
    environment_ = environment;
    return absl::OkStatus();
  }
  return CheckEnvironment(environment);
}

absl::Status Table::CheckEnvironment(const EnvironmentSpec& environment) const {
  const std::string wanted = environment_->SchemaHash();
  const std::string found = environment.SchemaHash();
  if (wanted == found) {
    return absl::OkStatus();
  }
  return absl::FailedPreconditionError(
      absl::StrCat("schema_hash ", found, " ('", environment.environment_id, "', observation ",
                   environment.observation_size, ", action ", environment.action_size, "); table '",
                   options_.name, "' has ", wanted, " ('", environment_->environment_id, "', observation ",
                   environment_->observation_size, ", action ", environment_->action_size, ")"));
}

bool Table::IsOutdated(const PackedSegment& segment) const {
  return options_.retained_rounds > 0 &&
         segment.planning_round() + static_cast<uint64_t>(options_.retained_rounds) <= latest_round_;
}

std::optional<uint64_t> Table::Insert(SegmentPtr segment, absl::Duration now) {
  const auto first_key = static_cast<uint64_t>(rows_inserted_);
  rows_inserted_ += segment->num_steps();
  episodes_ += segment->ends_episode() ? 1 : 0;
  if (segment->planning_round() > latest_round_) {
    latest_round_ = segment->planning_round();
    if (options_.retained_rounds > 0) {
      RemoveSegmentsIf([this](const PackedSegment& held) { return IsOutdated(held); });
    }
  }
  if (IsOutdated(*segment)) {
    return std::nullopt;
  }
  AddRows({std::move(segment), first_key, now});
  while (size() > options_.max_rows) {
    PopFrontRow();
  }
  return first_key;
}

void Table::Restore(SegmentPtr segment, uint64_t first_key, absl::Duration now) {
  if (IsOutdated(*segment)) {
    return;
  }
  AddRows({std::move(segment), first_key, now});
  while (!rows_.empty() && key(0) < restore_from_key_) {
    PopFrontRow();
  }
  while (size() > options_.max_rows) {
    PopFrontRow();
  }
}

void Table::AddRows(const HeldSegment& held) {
  const uint32_t ordinal = first_ordinal_ + static_cast<uint32_t>(segments_.size());
  segments_.push_back(held);
  segment_bytes_ += static_cast<int64_t>(held.segment->memory_bytes());
  for (int step = 0; step < held.segment->num_steps(); ++step) {
    rows_.push_back({ordinal, static_cast<uint32_t>(step)});
  }
}

void Table::PopFrontRow() {
  const uint32_t ordinal = rows_.front().ordinal;
  rows_.pop_front();
  if (rows_.empty() || rows_.front().ordinal != ordinal) {
    segment_bytes_ -= static_cast<int64_t>(segments_.front().segment->memory_bytes());
    segments_.pop_front();
    ++first_ordinal_;
  }
}

void Table::Draw(int64_t count, std::vector<DrawnRow>* rows) {
  for (int64_t i = 0; i < count; ++i) {
    const Selection selection = selector_->Select(*this);
    const RowRef& row = rows_[static_cast<size_t>(selection.index)];
    const HeldSegment& held = SegmentOf(row);
    rows->push_back({held.segment, static_cast<int>(row.step), held.first_key + row.step,
                     selection.probability, held.inserted});
  }
  rows_sampled_ += count;
}

uint64_t Table::key(int64_t index) const {
  const RowRef& row = rows_[static_cast<size_t>(index)];
  return SegmentOf(row).first_key + row.step;
}

int64_t Table::LowerBound(uint64_t wanted) const {
  int64_t low = 0, high = size();
  while (low < high) {
    const int64_t middle = low + (high - low) / 2;
    if (key(middle) < wanted) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

uint64_t Table::first_key() const { return rows_.empty() ? static_cast<uint64_t>(rows_inserted_) : key(0); }

Table::Slice Table::Read(uint64_t position, uint64_t end, int64_t max_rows) const {
  Slice slice;
  int64_t index = LowerBound(position);
  if (index >= size() || key(index) >= end) {
    return slice;
  }
  slice.position = key(index);
  while (index < size() && slice.num_rows < max_rows) {
    const RowRef& row = rows_[static_cast<size_t>(index)];
    const HeldSegment& held = SegmentOf(row);
    const uint64_t row_key = held.first_key + row.step;
    if (row_key != slice.position + static_cast<uint64_t>(slice.num_rows) || row_key >= end) {
      break;
    }
    const int64_t left_in_segment = held.segment->num_steps() - static_cast<int64_t>(row.step);
    const int64_t count =
        std::min({left_in_segment, max_rows - slice.num_rows, static_cast<int64_t>(end - row_key)});
    const int begin = static_cast<int>(row.step);
    slice.segments.push_back(held.segment->Slice(begin, begin + static_cast<int>(count)));
    slice.num_rows += count;
    index += count;
  }
  return slice;
}

int64_t Table::RemoveBefore(uint64_t row_key) {
  int64_t removed = 0;
  while (!rows_.empty() && key(0) < row_key) {
    PopFrontRow();
    ++removed;
  }
  return removed;
}

int64_t Table::RemoveDynamicsVersion(uint64_t dynamics_version) {
  return RemoveSegmentsIf([dynamics_version](const PackedSegment& segment) {
    return segment.planned() && segment.dynamics_version() == dynamics_version;
  });
}

int64_t Table::RemoveOlderThan(int64_t environment_rows) {
  int64_t removed = 0;
  while (!rows_.empty() &&
         segments_.front().segment->origin().environment_rows + options_.max_age_environment_rows <=
             environment_rows) {
    PopFrontRow();
    ++removed;
  }
  return removed;
}

int64_t Table::RemoveSegmentsIf(const std::function<bool(const PackedSegment&)>& remove) {
  const int64_t size_before = size();
  while (!rows_.empty() && remove(*segments_.front().segment)) {
    PopFrontRow();
  }
  if (std::any_of(segments_.begin(), segments_.end(),
                  [&](const HeldSegment& held) { return remove(*held.segment); })) {
    Rebuild(remove);
  }
  return size_before - size();
}

void Table::Rebuild(const std::function<bool(const PackedSegment&)>& remove) {
  const uint64_t first = first_key();
  std::deque<HeldSegment> segments = std::move(segments_);
  segments_.clear();
  rows_.clear();
  first_ordinal_ = 0;
  segment_bytes_ = 0;
  for (const HeldSegment& held : segments) {
    if (remove(*held.segment)) {
      removed_segments_.push_back(held.first_key);
    } else {
      AddRows(held);
    }
  }
  RemoveBefore(first);  // steps of the first segment that had left before
}

int64_t Table::memory_bytes() const {
  return segment_bytes_ + static_cast<int64_t>(rows_.size() * sizeof(RowRef)) +
         static_cast<int64_t>(segments_.size() * sizeof(HeldSegment));
}

void Table::Audit(std::vector<std::string>* violations) const {
  uint64_t next_key = first_key();
  for (int64_t index = 0; index < size(); ++index) {
    const uint64_t row_key = key(index);
    if (row_key < next_key || row_key >= static_cast<uint64_t>(rows_inserted_)) {
      violations->push_back(absl::StrCat("table '", options_.name, "': row ", index, " has key ", row_key,
                                         "; want ", next_key, " to ", rows_inserted_ - 1));
      return;
    }
    next_key = row_key + 1;
  }
  // Real steps of one episode must not repeat.
  std::map<std::tuple<uint32_t, uint64_t, uint64_t, int>, int> steps;
  for (const HeldSegment& held : segments_) {
    const PackedSegment& segment = *held.segment;
    if (segment.planned()) {
      continue;
    }
    const auto episode = std::make_tuple(segment.origin().writer_index, segment.origin().writer_epoch,
                                         segment.episode_id(), segment.first_step());
    if (!steps.emplace(episode, segment.num_steps()).second) {
      violations->push_back(absl::StrCat("table '", options_.name, "': episode ", segment.episode_id(),
                                         " of writer ", segment.origin().writer_index, " has step ",
                                         segment.first_step(), " twice"));
    }
  }
  const std::tuple<uint32_t, uint64_t, uint64_t, int>* previous = nullptr;
  int previous_steps = 0;
  for (const auto& [episode, num_steps] : steps) {
    if (previous != nullptr && std::get<0>(*previous) == std::get<0>(episode) &&
        std::get<1>(*previous) == std::get<1>(episode) && std::get<2>(*previous) == std::get<2>(episode) &&
        std::get<3>(*previous) + previous_steps > std::get<3>(episode)) {
      violations->push_back(absl::StrCat("table '", options_.name, "': episode ", std::get<2>(episode),
                                         " of writer ", std::get<0>(episode), " has step ",
                                         std::get<3>(episode), " twice"));
    }
    previous = &episode;
    previous_steps = num_steps;
  }
}

}  // namespace demorl
