#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/tensor/environment_spec.h"
#include "services/replay/core/byte_codec.h"
#include "services/replay/core/packed_segment.h"
#include "services/replay/core/quarantine.h"
#include "services/replay/core/rate_limiter.h"
#include "services/replay/core/replay_options.h"
#include "services/replay/core/selectors/selector.h"

namespace demorl {

// A row as a batch refers to it.
struct DrawnRow {
  SegmentPtr segment;
  int step = 0;
  uint64_t key = 0;
  double probability = 0;
  absl::Duration inserted;
};

// Rows in insertion order with consecutive keys, up to max_rows, older ones dropped by age, round or purge.
// Thread-compatible.
class Table final : private RowIndex {
 public:
  struct HeldSegment {
    SegmentPtr segment;
    // Key of its step 0, whether or not that is still held.
    uint64_t first_key = 0;
    // When it was taken in, or restored.
    absl::Duration inserted;
  };

  Table(const TableOptions& options, uint64_t seed);

  const TableOptions& options() const { return options_; }
  const std::optional<EnvironmentSpec>& environment() const { return environment_; }

  // The first one is kept; FAILED_PRECONDITION naming both hashes for another one.
  absl::Status SetEnvironment(const EnvironmentSpec& environment);
  // The same comparison, without keeping anything; requires that the table has one.
  absl::Status CheckEnvironment(const EnvironmentSpec& environment) const;

  // Gives the rows the next keys. Rows of a round that is no longer retained get keys but are not held: null
  // then, or else the key of the first row. Drops what the ring and the rounds push out.
  std::optional<uint64_t> Insert(SegmentPtr segment, absl::Duration now = absl::ZeroDuration());

  // For a start from the store: puts a segment back under its key. Segments come in order of their keys.
  void Restore(SegmentPtr segment, uint64_t first_key, absl::Duration now = absl::ZeroDuration());

  bool CanDraw(int64_t count) const { return selector_->CanSelect(*this, count); }
  void Draw(int64_t count, std::vector<DrawnRow>* rows);

  // Rows from the first held one with a key >= position and below `end`, at most max_rows and without a gap.
  struct Slice {
    uint64_t position = 0;
    std::vector<Segment> segments;
    int64_t num_rows = 0;
  };
  Slice Read(uint64_t position, uint64_t end, int64_t max_rows) const;

  // Each returns the number of rows removed.
  int64_t RemoveBefore(uint64_t key);
  int64_t RemoveDynamicsVersion(uint64_t dynamics_version);
  int64_t RemoveOlderThan(int64_t environment_rows);

  int64_t size() const override { return static_cast<int64_t>(rows_.size()); }
  int64_t rows_inserted() const { return rows_inserted_; }
  int64_t rows_sampled() const { return rows_sampled_; }
  int64_t episodes() const { return episodes_; }
  // Key of the oldest row still held; rows_inserted() when there is none.
  uint64_t first_key() const;
  uint64_t latest_round() const { return latest_round_; }
  int64_t memory_bytes() const;
  RateLimiter& limiter() { return limiter_; }
  const RateLimiter& limiter() const { return limiter_; }
  QuarantineCounts& quarantined() { return quarantined_; }
  const QuarantineCounts& quarantined() const { return quarantined_; }
  const std::deque<HeldSegment>& segments() const { return segments_; }

  // First keys of segments removed from the middle since the last call; what lies before first_key() is gone
  // anyhow.
  std::vector<uint64_t> TakeRemovedSegments() { return std::move(removed_segments_); }

  // Counters and specification, not the rows. Restored before the rows are.
  void EncodeMeta(ByteWriter* writer) const;
  absl::Status DecodeMeta(ByteReader* reader);

  // Meta, rows and the selector's stream.
  void SaveState(ByteWriter* writer) const;
  absl::Status RestoreState(ByteReader* reader);

  // Human-readable violations of the table's invariants.
  void Audit(std::vector<std::string>* violations) const;

 private:
  // A held row: segment `ordinal - first_ordinal_` of segments_.
  struct RowRef {
    uint32_t ordinal = 0;
    uint32_t step = 0;
  };

  uint64_t key(int64_t index) const override;
  int64_t LowerBound(uint64_t key) const override;
  const HeldSegment& SegmentOf(const RowRef& row) const {
    return segments_[static_cast<uint32_t>(row.ordinal - first_ordinal_)];
  }
  void AddRows(const HeldSegment& held);
  void PopFrontRow();
  int64_t RemoveSegmentsIf(const std::function<bool(const PackedSegment&)>& remove);
  void Rebuild(const std::function<bool(const PackedSegment&)>& remove);
  bool IsOutdated(const PackedSegment& segment) const;

  TableOptions options_;
  std::optional<EnvironmentSpec> environment_;
  std::unique_ptr<Selector> selector_;
  RateLimiter limiter_;
  QuarantineCounts quarantined_;
  std::deque<HeldSegment> segments_;
  uint32_t first_ordinal_ = 0;
  std::deque<RowRef> rows_;
  int64_t segment_bytes_ = 0;
  int64_t rows_inserted_ = 0;
  int64_t rows_sampled_ = 0;
  int64_t episodes_ = 0;
  uint64_t latest_round_ = 0;
  // Rows below it have left; what the store still has of them is not restored.
  uint64_t restore_from_key_ = 0;
  std::vector<uint64_t> removed_segments_;
};

}  // namespace demorl
