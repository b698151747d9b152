// What a core writes to its store, and how it comes back.
//
//   "m"                       run id
//   "t" name                  counters and specification of a table
//   "w" index                 a writer's position
//   "s" length name first_key a segment; keys of one table are in insertion order
//
// Numbers in keys are big-endian. A group holds the segments of whole chunks together with the positions of
// their writers and the counters of their tables, so that each chunk is there once or not at all.

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "services/replay/core/byte_codec.h"
#include "services/replay/core/replay_core.h"
#include "services/replay/core/replay_metrics.h"

namespace demorl {
namespace {

constexpr char kRunKey[] = "m";

// Ranges of rows that have left are deleted in pieces of at least this many keys.
constexpr uint64_t kRowsPerDeletion = 1024;

template <typename T>
std::string BigEndian(T value) {
  std::string bytes(sizeof(T), '\0');
  for (size_t i = sizeof(T); i > 0; --i, value = static_cast<T>(value >> 8)) {
    bytes[i - 1] = static_cast<char>(value & 0xff);
  }
  return bytes;
}

template <typename T>
T FromBigEndian(absl::string_view bytes) {
  T value = 0;
  for (const char byte : bytes.substr(0, sizeof(T))) {
    value = static_cast<T>((value << 8) | static_cast<unsigned char>(byte));
  }
  return value;
}

std::string TableKey(const std::string& name) { return absl::StrCat("t", name); }
std::string WriterKey(uint32_t index) { return absl::StrCat("w", BigEndian(index)); }
std::string SegmentPrefix(const std::string& name) {
  return absl::StrCat("s", BigEndian(static_cast<uint32_t>(name.size())), name);
}
std::string SegmentKey(const std::string& name, uint64_t first_key) {
  return absl::StrCat(SegmentPrefix(name), BigEndian(first_key));
}

}  // namespace

void ReplayCore::MarkTable(size_t table, bool lazily) {
  if (IsDurable(table)) {
    pending_.tables.insert(table);
    ++ticket_;
    commit_->Request(lazily);
  }
}

void ReplayCore::MarkWriter(uint32_t writer) {
  if (IsDurable(writers_[writer].table)) {
    pending_.writers.insert(writer);
    ++ticket_;
    commit_->Request();
  }
}

std::vector<KvChange> ReplayCore::CollectChanges() {
  std::vector<KvChange> changes, deletions;
  std::vector<PendingSegment> segments;
  {
    absl::MutexLock lock(&mutex_);
    DropPendingOfRowsGone();
    committing_ = {.ticket = ticket_, .chunks = std::move(pending_.chunks)};
    segments = std::move(pending_.segments);
    for (const size_t table : pending_.tables) {
      ByteWriter meta;
      tables_[table].table->EncodeMeta(&meta);
      changes.push_back({.key = TableKey(options_.tables[table].name), .value = meta.Take()});
      committing_.table_rows[table] = tables_[table].table->rows_inserted();
      CollectDeletions(table, &deletions);
    }
    for (const uint32_t writer : pending_.writers) {
      ByteWriter record;
      EncodeWriter(writers_[writer], &record);
      changes.push_back({.key = WriterKey(writer), .value = record.Take()});
      committing_.writer_sequences[writer] = writers_[writer].accepted_sequence;
    }
    pending_ = Pending();
  }
  CollectSegments(segments, &changes);
  changes.insert(changes.end(), std::make_move_iterator(deletions.begin()),
                 std::make_move_iterator(deletions.end()));
  return changes;
}

void ReplayCore::CollectSegments(const std::vector<PendingSegment>& segments,
                                 std::vector<KvChange>* changes) const {
  for (const PendingSegment& pending : segments) {
    changes->push_back({.key = SegmentKey(options_.tables[pending.table].name, pending.held.first_key),
                        .value = pending.held.segment->Encode()});
  }
}

void ReplayCore::CollectDeletions(size_t index, std::vector<KvChange>* changes) {
  TableEntry& entry = tables_[index];
  const std::string& name = options_.tables[index].name;
  for (const uint64_t first_key : entry.table->TakeRemovedSegments()) {
    changes->push_back({.kind = KvChange::Kind::kDelete, .key = SegmentKey(name, first_key)});
  }
  const uint64_t first_held =
      entry.table->segments().empty() ? entry.table->first_key() : entry.table->segments().front().first_key;
  if (first_held >= entry.deleted_before + kRowsPerDeletion) {
    changes->push_back({.kind = KvChange::Kind::kDeleteRange,
                        .key = SegmentKey(name, entry.deleted_before),
                        .value = SegmentKey(name, first_held)});
    entry.deleted_before = first_held;
  }
}

void ReplayCore::DropPendingOfRowsGone() {
  std::erase_if(pending_.segments,
                [this](const PendingSegment& pending) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
                  const uint64_t end =
                      pending.held.first_key + static_cast<uint64_t>(pending.held.segment->num_steps());
                  return end <= tables_[pending.table].table->first_key();
                });
}

void ReplayCore::OnCommitted() {
  std::vector<DurabilityWaiter> done;
  {
    absl::MutexLock lock(&mutex_);
    store_status_ = absl::OkStatus();
    durable_ticket_ = committing_.ticket;
    for (const auto& [writer, sequence] : committing_.writer_sequences) {
      writers_[writer].durable_sequence = sequence;
    }
    for (const auto& [table, rows] : committing_.table_rows) {
      tables_[table].durable_rows = rows;
    }
    const absl::Duration now = clock_.Now();
    for (const TakenChunk& chunk : committing_.chunks) {
      tables_[chunk.table].instruments->AppendAckTook(absl::ToDoubleSeconds(now - chunk.time));
      AddAppendSpan(chunk);
    }
    committing_.chunks.clear();
    const auto waiting =
        std::partition(durability_waiters_.begin(), durability_waiters_.end(),
                       [this](const DurabilityWaiter& waiter)
                           ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return waiter.ticket > durable_ticket_; });
    done.assign(std::make_move_iterator(waiting), std::make_move_iterator(durability_waiters_.end()));
    durability_waiters_.erase(waiting, durability_waiters_.end());
  }
  for (const DurabilityWaiter& waiter : done) {
    waiter.done(absl::OkStatus());
  }
  NotifyChange();
}

void ReplayCore::OnCommitFailed(const absl::Status& status) {
  {
    absl::MutexLock lock(&mutex_);
    store_status_ = status;
    DropPendingOfRowsGone();
  }
  NotifyChange();
}

void ReplayCore::WhenDurable(std::function<void(const absl::Status&)> done) {
  absl::Status status;
  {
    absl::MutexLock lock(&mutex_);
    if (store_ != nullptr && durable_ticket_ < ticket_) {
      if (!store_stopped_) {
        durability_waiters_.push_back({.ticket = ticket_, .done = std::move(done)});
        commit_->Request();
        return;
      }
      status = absl::CancelledError("the store is closed");
    }
  }
  done(status);
}

void ReplayCore::StopStore() {
  if (commit_ == nullptr) {
    return;
  }
  commit_->Stop();
  std::vector<DurabilityWaiter> waiters;
  {
    absl::MutexLock lock(&mutex_);
    store_stopped_ = true;
    waiters.swap(durability_waiters_);
  }
  for (const DurabilityWaiter& waiter : waiters) {
    waiter.done(absl::CancelledError("the store is closed"));
  }
}

absl::Status ReplayCore::Flush(absl::Time deadline) {
  absl::MutexLock lock(&mutex_);
  const uint64_t ticket = ticket_;
  if (store_ == nullptr) {
    return absl::OkStatus();
  }
  commit_->Request();
  const auto durable = [this, ticket]()
                           ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return durable_ticket_ >= ticket; };
  if (mutex_.AwaitWithDeadline(absl::Condition(&durable), deadline)) {
    return absl::OkStatus();
  }
  return absl::DeadlineExceededError(
      absl::StrCat("changes did not become durable in time; store: ", store_status_.ToString()));
}

void ReplayCore::CreateCheckpoint(std::function<void(const absl::StatusOr<CheckpointInfo>&)> done) {
  if (store_ == nullptr) {
    done(absl::FailedPreconditionError("replay keeps nothing on disk: it has no data_dir"));
    return;
  }
  commit_->RequestCheckpoint([this, done = std::move(done)](const absl::StatusOr<std::string>& path) {
    if (!path.ok()) {
      done(path.status());
      return;
    }
    CheckpointInfo info{.path = *path};
    {
      absl::MutexLock lock(&mutex_);
      for (size_t i = 0; i < tables_.size(); ++i) {
        if (IsDurable(i)) {
          info.rows_inserted[options_.tables[i].name] = tables_[i].durable_rows;
        }
      }
    }
    done(info);
  });
}

absl::Status ReplayCore::StoreStatus() const {
  absl::MutexLock lock(&mutex_);
  return store_status_;
}

absl::Status ReplayCore::Load() {
  RETURN_IF_ERROR(LoadRun());
  absl::MutexLock lock(&mutex_);
  for (size_t i = 0; i < tables_.size(); ++i) {
    if (IsDurable(i)) {
      RETURN_IF_ERROR(LoadTable(i));
    }
  }
  return LoadWriters();
}

absl::Status ReplayCore::LoadRun() {
  std::string run_id;
  bool found = false;
  RETURN_IF_ERROR(store_->Scan(kRunKey, [&](absl::string_view, absl::string_view value) {
    run_id = std::string(value);
    found = true;
    return absl::OkStatus();
  }));
  if (!found) {
    return store_->Write({{.key = kRunKey, .value = options_.run_id}});
  }
  if (run_id != options_.run_id) {
    return absl::FailedPreconditionError(absl::StrCat("the store belongs to run '", run_id,
                                                      "'; this replay serves run '", options_.run_id, "'"));
  }
  return absl::OkStatus();
}

absl::Status ReplayCore::LoadTable(size_t index) {
  TableEntry& entry = tables_[index];
  const std::string& name = options_.tables[index].name;
  const std::string table_key = TableKey(name);
  RETURN_IF_ERROR(store_->Scan(table_key, [&](absl::string_view key, absl::string_view value) {
    ByteReader reader(value);
    return key == table_key ? entry.table->DecodeMeta(&reader) : absl::OkStatus();
  }));
  const std::string prefix = SegmentPrefix(name);
  RETURN_IF_ERROR(store_->Scan(
      prefix, [&](absl::string_view key, absl::string_view value) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
        const auto first_key = FromBigEndian<uint64_t>(key.substr(prefix.size()));
        absl::StatusOr<SegmentPtr> segment = PackedSegment::Decode(value);
        if (segment.ok()) {
          entry.table->Restore(*std::move(segment), first_key, clock_.Now());
        } else {
          damage_.push_back(absl::StrCat("table '", name, "': rows from key ", first_key, ": ",
                                         segment.status().message()));
        }
        return absl::OkStatus();
      }));
  entry.durable_rows = entry.table->rows_inserted();
  UpdateFigures(entry);
  return absl::OkStatus();
}

absl::Status ReplayCore::LoadWriters() {
  return store_->Scan(
      "w", [this](absl::string_view key, absl::string_view value) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
        ByteReader reader(value);
        return DecodeWriter(&reader, FromBigEndian<uint32_t>(key.substr(1)));
      });
}

}  // namespace demorl
