#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/base/clock.h"
#include "common/metrics/metrics.h"
#include "common/tensor/environment_spec.h"
#include "common/tensor/table_share.h"
#include "common/tensor/transition_chunk.h"
#include "common/tracing/trace_log.h"
#include "services/replay/core/group_commit.h"
#include "services/replay/core/kv_store.h"
#include "services/replay/core/planning_rounds.h"
#include "services/replay/core/quarantine.h"
#include "services/replay/core/replay_options.h"
#include "services/replay/core/table.h"
#include "services/replay/core/traced_rows.h"

namespace demorl {

// What a writer says of itself when it opens.
struct WriterOpening {
  std::string table;
  // Stable over restarts of the same writer.
  std::string writer_id;
  // Grows with each start of the writer; a newer epoch fences older ones.
  uint64_t writer_epoch = 0;
  EnvironmentSpec environment;
  // Held back by the run-ahead limit.
  bool simulated = true;
};

// An opened writer.
struct WriterHandle {
  uint32_t index = 0;
  uint64_t epoch = 0;
};

// All totals are cumulative.
struct WriterPosition {
  uint64_t accepted_sequence = 0;
  uint64_t durable_sequence = 0;
  // RateLimiter::kUnlimitedRows when nothing holds this writer back.
  int64_t rows_allowed = 0;
  // Of the table.
  int64_t rows_inserted = 0;
  // Of this writer, since it exists.
  int64_t rows_quarantined = 0;
  // What is accepted and not durable is on its way to the disk, which is well.
  bool durable_soon = false;
  // A newer epoch exists; the sequences above are not this writer's.
  bool fenced = false;
};

// Composition of a batch; see SampleRequest.
struct BatchSpec {
  std::vector<TableShare> shares;
  // Tables whose share is taken from the first table while they are empty.
  std::vector<std::string> may_be_empty;
  // Whether the rate limiter of the first table counts and limits the batch. Others only need min_rows.
  bool counts_as_update = true;
};

struct DrawnBatch {
  TransitionBatch batch;
  // Rows the first table has taken in since it exists.
  int64_t rows_inserted = 0;
  std::vector<int64_t> table_sizes;
  // The newest behind the planned rows; 0 without any.
  uint64_t dynamics_version = 0;
  // Of traced chunks whose rows are drawn for the first time.
  std::vector<TraceContext> traces;
  // Of the first table's rows, since they were taken in or restored.
  absl::Duration mean_age;
};

struct RowsRead {
  uint64_t position = 0;
  uint64_t next_position = 0;
  TransitionChunk chunk;
  // Of traced chunks that begin in these rows.
  std::vector<TraceContext> traces;
};

struct TableSummary {
  std::string name;
  int64_t size = 0;
  int64_t max_size = 0;
  int64_t rows_inserted = 0;
  uint64_t first_key = 0;
  int64_t rows_sampled = 0;
  // Episodes that ended in this table since it exists.
  int64_t episodes = 0;
  QuarantineCounts rows_quarantined;
  RateLimiterOptions limiter;
  double limiter_error = 0;
  int64_t updates = 0;
  double waiting_for_inserts_seconds = 0;
  double waiting_for_updates_seconds = 0;
  std::optional<EnvironmentSpec> environment;
  int64_t memory_bytes = 0;
  uint64_t latest_planning_round = 0;
  double planning_rounds_queued = 0;
  int planners = 0;
};

struct WriterSummary {
  std::string writer_id;
  uint64_t writer_epoch = 0;
  std::string table;
  uint64_t accepted_sequence = 0;
  uint64_t durable_sequence = 0;
  int64_t rows = 0;
  int64_t duplicate_chunks = 0;
  int64_t episodes = 0;
};

struct CheckpointInfo {
  // Relative to the store's folder.
  std::string path;
  // Of the durable tables, at the time of the copy.
  std::map<std::string, int64_t> rows_inserted;
};

struct AuditReport {
  std::vector<WriterSummary> writers;
  // Empty when every accepted row is present once or was evicted by policy.
  std::vector<std::string> violations;
};

class TableInstruments;

// Tables of transitions with exactly-once insertion, rate limits and selection; no RPC. Thread-safe; but for
// Flush no method blocks for longer than its own work. Callers that must wait (for rows, for updates) try
// again when the change listener was called.
//
// With a store, a thread writes what changes in groups, and a chunk counts as durable once its group is on
// the disk. While the store fails the core goes on from memory, nothing new becomes durable, StoreStatus says
// why, and it heals by itself. A core made on an old store is what the last group left.
//
// Deterministic use, without a server: one thread calls OpenWriter, Append and TrySample in a fixed order;
// the same seed and the same calls draw the same batches, also across SaveState and RestoreState.
class ReplayCore : private CommitSource {
 public:
  // `metrics`, `store` (everything in memory) and `trace_log` may be null. Clock, metrics and log outlive the
  // core. INVALID_ARGUMENT as ValidateReplayOptions; with a store also FAILED_PRECONDITION if it belongs to
  // another run or to tables that are not configured, and DATA_LOSS.
  static absl::StatusOr<std::unique_ptr<ReplayCore>> Create(const ReplayOptions& options, const Clock& clock,
                                                            Metrics* metrics,
                                                            std::unique_ptr<KvStore> store = nullptr,
                                                            TraceLog* trace_log = nullptr);
  ~ReplayCore() override;
  ReplayCore(const ReplayCore&) = delete;
  ReplayCore& operator=(const ReplayCore&) = delete;

  const ReplayOptions& options() const { return options_; }

  // Called after every change that may let somebody go on (rows, updates, durability, pause, close), by the
  // thread that made it and with no lock held. Set once, before other threads use the core.
  void SetChangeListener(std::function<void()> listener) { listener_ = std::move(listener); }

  // FAILED_PRECONDITION naming both runs unless `run_id` is ours.
  absl::Status CheckRun(absl::string_view run_id) const;

  // NOT_FOUND: no such table. FAILED_PRECONDITION: the table has another schema (both hashes are named).
  // ABORTED: a newer epoch exists. INVALID_ARGUMENT: no writer id. The first writer sets a table's schema.
  absl::StatusOr<WriterHandle> OpenWriter(const WriterOpening& opening);
  // The writer's connection has ended; its position stays.
  void CloseWriter(const WriterHandle& writer);

  // Takes a chunk in, exactly once: a sequence that was taken before is dropped and counted (OK). Rows that
  // must not enter are quarantined and counted (OK), `malformed_rows` more of them could not even be decoded.
  // FAILED_PRECONDITION: a gap in the sequence, naming the one expected. ABORTED: fenced. UNAVAILABLE:
  // closed.
  absl::Status Append(const WriterHandle& writer, uint64_t sequence, const TransitionChunk& chunk,
                      int64_t malformed_rows = 0);

  WriterPosition Position(const WriterHandle& writer) const;

  // Draws a batch, or says why not. UNAVAILABLE: would block (too few rows, rate limit, paused), try again
  // after a change. CANCELLED: closed. NOT_FOUND: no such table. INVALID_ARGUMENT: a composition that can
  // never be met. FAILED_PRECONDITION: tables of different schemas.
  absl::StatusOr<DrawnBatch> TrySample(const BatchSpec& spec);

  // Counts the time that samplers wait for this table: +1 when one begins, -1 when it ends.
  void AddWaitingSampler(const std::string& table, int change);

  // Rows in insertion order from the first held one at or after `position`, without a gap, and only such as
  // a crash cannot take back. Nothing when there are none yet. NOT_FOUND: no such table. DATA_LOSS:
  // `position` lies beyond the rows that the table has taken in. CANCELLED: closed.
  absl::StatusOr<std::optional<RowsRead>> ReadRows(const std::string& table, uint64_t position,
                                                   int64_t max_rows) const;

  // NOT_FOUND, or FAILED_PRECONDITION where the table's selector has no priorities (none has so far).
  absl::StatusOr<int64_t> UpdatePriorities(const std::string& table, const std::vector<uint64_t>& keys,
                                           const std::vector<double>& priorities);

  // Number of rows removed. NOT_FOUND: no such table.
  absl::StatusOr<int64_t> PurgeDynamicsVersion(const std::string& table, uint64_t dynamics_version);
  absl::StatusOr<int64_t> PurgeBefore(const std::string& table, uint64_t key);

  // Gives a planner its share of the rounds that are due in this table; see PlanningRounds. Not durable: a
  // new core goes on after the newest rows that it holds. NOT_FOUND: no such table. INVALID_ARGUMENT: no
  // planner id, or a call for less than one round of one start state.
  absl::StatusOr<RoundShare> ClaimRound(const std::string& table, const RoundClaim& claim);

  absl::StatusOr<TableSummary> Describe(const std::string& table) const;
  // Also brings the metrics of waiting times up to date, which nothing else does while a table stands still.
  std::vector<TableSummary> DescribeAll() const;
  AuditReport Audit() const;

  // While paused, TrySample would block; appends go on.
  void SetPaused(bool paused);

  // Refuses chunks and samples from now on. Idempotent.
  void Close();

  bool closed() const;

  // Calls `done` once everything so far is durable, or with CANCELLED when the core goes; at once without a
  // store, else by the committing thread.
  void WhenDurable(std::function<void(const absl::Status&)> done);

  // Blocks until everything so far is durable. DEADLINE_EXCEEDED, with the store's trouble.
  absl::Status Flush(absl::Time deadline);

  // Makes a consistent copy of the store; `done` is called by the committing thread. FAILED_PRECONDITION (at
  // once) without a store; the store's trouble if it cannot be written.
  void CreateCheckpoint(std::function<void(const absl::StatusOr<CheckpointInfo>&)> done);

  // Tries once more to write what is not durable, and ends the committing thread; whoever still waits for
  // durability gets CANCELLED. Idempotent; no listener is called after it by this core on its own.
  void StopStore();

  // Why nothing becomes durable now; OK if all is well, or without a store.
  absl::Status StoreStatus() const;

  // Everything: rows, positions of writers, counters, random streams of the selectors. What one core saves,
  // another one with the same tables restores and goes on as the first would have. DATA_LOSS: damaged;
  // FAILED_PRECONDITION: other tables or another run, or a core with a store.
  std::string SaveState() const;
  absl::Status RestoreState(absl::string_view state);

 private:
  struct TableEntry {
    std::unique_ptr<Table> table;
    std::unique_ptr<TableInstruments> instruments;
    TracedRows traced;
    WaitingTime waiting_samplers;
    WaitingTime waiting_writers;
    // None before the first claim.
    std::optional<PlanningRounds> rounds;
    int open_simulated_writers = 0;
    int64_t last_chunk_rows = 1;
    // Rows that the store has.
    int64_t durable_rows = 0;
    // The store has no segment before this key.
    uint64_t deleted_before = 0;
  };
  struct Writer {
    std::string writer_id;
    size_t table = 0;
    uint64_t epoch = 0;
    uint64_t accepted_sequence = 0;
    uint64_t durable_sequence = 0;
    int64_t rows = 0;
    int64_t rows_quarantined = 0;
    int64_t duplicate_chunks = 0;
    int64_t episodes = 0;
    // Of the newest epoch.
    bool simulated = true;
    int open_connections = 0;
  };
  // A chunk that was taken in, until it is durable.
  struct TakenChunk {
    size_t table = 0;
    absl::Duration time;
    int64_t rows = 0;
    // Where it is traced: the span in which it was collected, and that of its append, which begins at
    // `start`.
    std::optional<TraceContext> parent = {};
    TraceContext span = {};
    absl::Time start = {};
  };
  // What the store does not have yet.
  struct PendingSegment {
    size_t table = 0;
    Table::HeldSegment held;
  };
  struct Pending {
    std::vector<PendingSegment> segments;
    std::set<uint32_t> writers;
    std::set<size_t> tables;
    std::vector<TakenChunk> chunks;
  };
  // What the group under way makes durable.
  struct Committing {
    uint64_t ticket = 0;
    std::map<uint32_t, uint64_t> writer_sequences;
    std::map<size_t, int64_t> table_rows;
    std::vector<TakenChunk> chunks;
  };
  struct DurabilityWaiter {
    uint64_t ticket = 0;
    std::function<void(const absl::Status&)> done;
  };
  // How many rows of a batch each table gives.
  struct DrawPlan {
    std::vector<std::pair<TableEntry*, int64_t>> draws;
    std::vector<int64_t> table_sizes;
  };

  // Rows drawn, before their columns are gathered; of `batch` what the core knows of them.
  struct Drawing {
    DrawnBatch batch;
    std::vector<DrawnRow> rows;
    int64_t rows_of_first = 0;
    // Of the first table.
    TableInstruments* instruments = nullptr;
  };

  ReplayCore(const ReplayOptions& options, const Clock& clock, Metrics* metrics,
             std::unique_ptr<KvStore> store, TraceLog* trace_log);

  // CommitSource
  std::vector<KvChange> CollectChanges() override;
  void OnCommitted() override;
  void OnCommitFailed(const absl::Status& status) override;

  bool IsDurable(size_t table) const { return store_ != nullptr && options_.tables[table].durable; }
  void MarkTable(size_t table, bool lazily = false) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void MarkWriter(uint32_t writer) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void DropPendingOfRowsGone() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void CollectSegments(const std::vector<PendingSegment>& segments, std::vector<KvChange>* changes) const;
  void CollectDeletions(size_t table, std::vector<KvChange>* changes) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status Load();
  absl::Status LoadRun();
  absl::Status LoadTable(size_t table);
  absl::Status LoadWriters();

  absl::StatusOr<size_t> FindTable(const std::string& name) const;
  absl::StatusOr<Writer*> FindWriter(const WriterHandle& handle) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status AppendLocked(const WriterHandle& handle, uint64_t sequence, const TransitionChunk& chunk,
                            int64_t malformed_rows) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // What is to be known of a chunk that was just inserted; `first_key` is that of its first row.
  TakenChunk TakeTrace(size_t table, uint64_t first_key, const TransitionChunk& chunk)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void AddAppendSpan(const TakenChunk& chunk) const;
  void InsertSegments(Writer* writer, uint32_t writer_index, const std::vector<Segment>& segments)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  int64_t EnvironmentRows() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void DropAgedRows() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::StatusOr<Drawing> DrawRows(const BatchSpec& spec) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::StatusOr<DrawPlan> PlanDraw(const BatchSpec& spec) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status CheckMinRows(const BatchSpec& spec, size_t share, const Table& table) const;
  absl::Status CheckLimiter(const BatchSpec& spec, TableEntry& first) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void UpdateFigures(TableEntry& entry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void ReportWaiting(const TableEntry& entry, absl::Duration now) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void EncodeWriter(const Writer& saved, ByteWriter* writer) const;
  // The writer with this index.
  absl::Status DecodeWriter(ByteReader* reader, uint32_t index) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  TableSummary Summarize(const TableEntry& entry) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void NotifyChange() const {
    if (listener_) {
      listener_();
    }
  }

  const ReplayOptions options_;
  const Clock& clock_;
  const std::unique_ptr<KvStore> store_;
  TraceLog* const trace_log_;
  std::function<void()> listener_;

  mutable absl::Mutex mutex_;
  std::vector<TableEntry> tables_ ABSL_GUARDED_BY(mutex_);
  // By table and writer id.
  std::map<std::pair<size_t, std::string>, uint32_t> writer_index_ ABSL_GUARDED_BY(mutex_);
  std::vector<Writer> writers_ ABSL_GUARDED_BY(mutex_);
  bool paused_ ABSL_GUARDED_BY(mutex_) = false;
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;

  // Grows with each change that the store must see.
  uint64_t ticket_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t durable_ticket_ ABSL_GUARDED_BY(mutex_) = 0;
  Pending pending_ ABSL_GUARDED_BY(mutex_);
  Committing committing_ ABSL_GUARDED_BY(mutex_);
  std::vector<DurabilityWaiter> durability_waiters_ ABSL_GUARDED_BY(mutex_);
  absl::Status store_status_ ABSL_GUARDED_BY(mutex_);
  bool store_stopped_ ABSL_GUARDED_BY(mutex_) = false;
  // Records that could not be read at the start.
  std::vector<std::string> damage_ ABSL_GUARDED_BY(mutex_);
  // Null without a store. Last: its thread ends first.
  std::unique_ptr<GroupCommit> commit_;
};

}  // namespace demorl
