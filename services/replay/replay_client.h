#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/base/trace_context.h"
#include "common/tensor/environment_spec.h"
#include "common/tensor/round_claim.h"
#include "common/tensor/table_share.h"
#include "common/tensor/transition_chunk.h"
#include "demorl/replay/v1/replay_service.pb.h"
#include "grpcpp/channel.h"

namespace demorl {

struct ReplayWriterOptions {
  std::string table = "env";
  // Stable over restarts of the same writer.
  std::string writer_id;
  // Grows with each start of the writer.
  uint64_t writer_epoch = 0;
  EnvironmentSpec environment;
  // Held back by the run-ahead limit; false for robots.
  bool simulated = true;
};

// Appends chunks exactly once: numbers them, keeps those that are not durable yet, and sends them again after
// a lost connection, which it re-establishes by itself with back-off. Thread-compatible: one owner thread.
class ReplayWriter {
 public:
  virtual ~ReplayWriter() = default;

  // Queues a chunk. Blocks while the byte window is full, and at first until the server has said where to go
  // on, until `deadline` (DEADLINE_EXCEEDED; the chunk is not taken). ABORTED: fenced by a newer epoch.
  // FAILED_PRECONDITION: another run or schema. DATA_LOSS, reported once by the next blocking call: the
  // server came back without chunks that it had called durable (always so for tables that are kept in memory
  // only); the writer goes on after what the server has, and the chunk may be appended again.
  virtual absl::Status Append(const TransitionChunk& chunk, absl::Time deadline) = 0;

  // How many more rows a simulated writer may collect now; includes rows queued and not yet counted by the
  // server.
  virtual int64_t RowsAllowed() = 0;

  // Blocks until the server has said where to go on and RowsAllowed() >= rows, or the deadline; CANCELLED
  // after Close.
  virtual absl::Status WaitForRowsAllowed(int64_t rows, absl::Time deadline) = 0;

  // Rows the table had taken in, as of the last response.
  virtual int64_t RowsInserted() const = 0;

  // Sequence of the last chunk queued, and the highest one that is durable.
  virtual uint64_t LastSequence() const = 0;
  virtual uint64_t DurableSequence() const = 0;

  // Blocks until everything queued is durable.
  virtual absl::Status Flush(absl::Time deadline) = 0;

  // Wakes blocked calls; may be called from another thread.
  virtual void Close() = 0;
};

struct BatchSamplerOptions {
  std::vector<TableShare> shares;
  // Tables whose share is taken from the first table while they are empty.
  std::vector<std::string> may_be_empty;
  int batches_in_flight = 4;
  // Each batch is one update that the rate limiter of the first table counts.
  bool counts_as_update = true;
};

struct SampledBatch {
  TransitionBatch batch;
  // Rows the first table has taken in since it exists.
  int64_t rows_inserted = 0;
  std::vector<int64_t> table_sizes;
  // The newest behind the planned rows; 0 without any.
  uint64_t dynamics_version = 0;
  // Of traced chunks whose rows are drawn for the first time.
  std::vector<TraceContext> traces;
  // Of the first table's rows, since they were taken in; rows of an earlier start of replay count from this
  // start.
  absl::Duration mean_age;
};

// A stream of batches, kept full by credits; reconnects by itself. Thread-compatible.
class BatchSampler {
 public:
  virtual ~BatchSampler() = default;

  // Blocks until a batch is here. DEADLINE_EXCEEDED; CANCELLED after Close; FAILED_PRECONDITION as for
  // writers.
  virtual absl::StatusOr<SampledBatch> Next(absl::Time deadline) = 0;

  // Composition of batches drawn from now on; batches already in flight keep theirs.
  virtual void SetShares(const std::vector<TableShare>& shares) = 0;

  virtual void Close() = 0;
};

struct TailedRows {
  // Key of the first row.
  uint64_t position = 0;
  uint64_t next_position = 0;
  TransitionChunk chunk;
  // Of traced chunks that begin in these rows.
  std::vector<TraceContext> traces;
};

// Rows of a table in insertion order; reconnects by itself and goes on where it was. Thread-compatible.
class TableTail {
 public:
  virtual ~TableTail() = default;
  virtual absl::StatusOr<TailedRows> Next(absl::Time deadline) = 0;
  virtual void Close() = 0;
};

// A replay service reached over a channel. Thread-safe; the objects it makes are not.
class ReplayClient {
 public:
  ReplayClient(std::shared_ptr<grpc::Channel> channel, std::string run_id);
  ~ReplayClient();

  // Opening does not wait for the server; errors come from the first blocking call.
  std::unique_ptr<ReplayWriter> OpenWriter(const ReplayWriterOptions& options);
  std::unique_ptr<BatchSampler> OpenSampler(const BatchSamplerOptions& options);
  std::unique_ptr<TableTail> OpenTail(const std::string& table, uint64_t position);

  absl::StatusOr<demorl::replay::v1::TableInfo> GetTable(const std::string& table);
  // As the table's writers have described it; UNAVAILABLE as long as none has.
  absl::StatusOr<EnvironmentSpec> GetEnvironment(const std::string& table);
  absl::StatusOr<demorl::replay::v1::ListTablesResponse> ListTables();
  // A planner's share of the rounds that are due in the table.
  absl::StatusOr<RoundShare> ClaimRound(const std::string& table, const RoundClaim& claim);
  absl::StatusOr<int64_t> PurgeDynamicsVersion(const std::string& table, uint64_t dynamics_version);
  absl::StatusOr<demorl::replay::v1::AuditResponse> Audit();
  absl::StatusOr<demorl::replay::v1::CreateCheckpointResponse> CreateCheckpoint();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace demorl
