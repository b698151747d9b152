#include "services/replay/core/replay_core.h"

#include <algorithm>
#include <cstring>
#include <set>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/base/status_macros.h"
#include "services/replay/core/byte_codec.h"
#include "services/replay/core/replay_metrics.h"

namespace demorl {
namespace {

// The table whose rows are the clock of max_age_environment_rows.
constexpr char kEnvironmentTable[] = "env";

}  // namespace

absl::StatusOr<std::unique_ptr<ReplayCore>> ReplayCore::Create(const ReplayOptions& options,
                                                               const Clock& clock, Metrics* metrics,
                                                               std::unique_ptr<KvStore> store,
                                                               TraceLog* trace_log) {
  RETURN_IF_ERROR(ValidateReplayOptions(options));
  std::unique_ptr<ReplayCore> core(new ReplayCore(options, clock, metrics, std::move(store), trace_log));
  if (core->store_ != nullptr) {
    RETURN_IF_ERROR(core->Load());
    CommitSource* source = core.get();
    core->commit_ = std::make_unique<GroupCommit>(core->store_.get(), source, options.group_commit);
  }
  return core;
}

ReplayCore::ReplayCore(const ReplayOptions& options, const Clock& clock, Metrics* metrics,
                       std::unique_ptr<KvStore> store, TraceLog* trace_log)
    : options_(options), clock_(clock), store_(std::move(store)), trace_log_(trace_log) {
  for (const TableOptions& table : options_.tables) {
    TableEntry entry;
    entry.table = std::make_unique<Table>(table, options_.seed);
    entry.instruments = std::make_unique<TableInstruments>(metrics, table.name);
    tables_.push_back(std::move(entry));
  }
}

ReplayCore::~ReplayCore() { StopStore(); }

absl::Status ReplayCore::CheckRun(absl::string_view run_id) const {
  if (run_id == options_.run_id) {
    return absl::OkStatus();
  }
  return absl::FailedPreconditionError(
      absl::StrCat("run_id '", run_id, "'; this replay serves run '", options_.run_id, "'"));
}

absl::StatusOr<size_t> ReplayCore::FindTable(const std::string& name) const {
  std::vector<std::string> names;
  for (size_t i = 0; i < options_.tables.size(); ++i) {
    if (options_.tables[i].name == name) {
      return i;
    }
    names.push_back(options_.tables[i].name);
  }
  std::string known;
  for (const std::string& other : names) {
    absl::StrAppend(&known, known.empty() ? "" : ", ", other);
  }
  return absl::NotFoundError(absl::StrCat("no table '", name, "'; there are: ", known));
}

absl::StatusOr<WriterHandle> ReplayCore::OpenWriter(const WriterOpening& opening) {
  ASSIGN_OR_RETURN(const size_t table_index, FindTable(opening.table));
  if (opening.writer_id.empty()) {
    return absl::InvalidArgumentError("writer_id is empty; want a name that is stable over restarts");
  }
  WriterHandle handle;
  {
    absl::MutexLock lock(&mutex_);
    if (closed_) {
      return absl::UnavailableError("replay is closed");
    }
    TableEntry& entry = tables_[table_index];
    RETURN_IF_ERROR(entry.table->SetEnvironment(opening.environment));
    const auto [position, inserted] = writer_index_.try_emplace(
        std::make_pair(table_index, opening.writer_id), static_cast<uint32_t>(writers_.size()));
    if (inserted) {
      writers_.push_back({.writer_id = opening.writer_id, .table = table_index});
    }
    Writer& writer = writers_[position->second];
    if (opening.writer_epoch < writer.epoch) {
      return absl::AbortedError(absl::StrCat("writer '", opening.writer_id, "' has epoch ",
                                             opening.writer_epoch, "; epoch ", writer.epoch,
                                             " has fenced it"));
    }
    if (writer.open_connections > 0 && writer.simulated) {
      --entry.open_simulated_writers;
    }
    writer.epoch = opening.writer_epoch;
    writer.simulated = opening.simulated;
    ++writer.open_connections;
    entry.open_simulated_writers += writer.simulated ? 1 : 0;
    handle = {.index = position->second, .epoch = opening.writer_epoch};
    MarkWriter(handle.index);
    MarkTable(table_index);
    UpdateFigures(entry);
  }
  NotifyChange();
  return handle;
}

void ReplayCore::CloseWriter(const WriterHandle& handle) {
  absl::MutexLock lock(&mutex_);
  Writer& writer = writers_[handle.index];
  TableEntry& entry = tables_[writer.table];
  if (writer.open_connections > 0 && --writer.open_connections == 0 && writer.simulated) {
    --entry.open_simulated_writers;
  }
  UpdateFigures(entry);
}

absl::StatusOr<ReplayCore::Writer*> ReplayCore::FindWriter(const WriterHandle& handle) {
  DEMORL_CHECK(handle.index < writers_.size());
  Writer* writer = &writers_[handle.index];
  if (handle.epoch != writer->epoch) {
    return absl::AbortedError(absl::StrCat("writer '", writer->writer_id, "' has epoch ", handle.epoch,
                                           "; epoch ", writer->epoch, " has fenced it"));
  }
  return writer;
}

absl::Status ReplayCore::Append(const WriterHandle& handle, uint64_t sequence, const TransitionChunk& chunk,
                                int64_t malformed_rows) {
  {
    absl::MutexLock lock(&mutex_);
    RETURN_IF_ERROR(AppendLocked(handle, sequence, chunk, malformed_rows));
  }
  NotifyChange();
  return absl::OkStatus();
}

absl::Status ReplayCore::AppendLocked(const WriterHandle& handle, uint64_t sequence,
                                      const TransitionChunk& chunk, int64_t malformed_rows) {
  if (closed_) {
    return absl::UnavailableError("replay is closed");
  }
  ASSIGN_OR_RETURN(Writer * writer, FindWriter(handle));
  TableEntry& entry = tables_[writer->table];
  Table& table = *entry.table;
  if (sequence <= writer->accepted_sequence) {
    ++writer->duplicate_chunks;
    MarkWriter(handle.index);
    entry.instruments->Deduplicated();
    return absl::OkStatus();
  }
  if (sequence != writer->accepted_sequence + 1) {
    return absl::FailedPreconditionError(absl::StrCat("writer '", writer->writer_id, "' sent sequence ",
                                                      sequence, "; want ", writer->accepted_sequence + 1));
  }
  QuarantineCounts refused;
  if (malformed_rows > 0) {
    refused["malformed"] = malformed_rows;
  }
  const RowLimits limits = {.observation_size = table.environment()->observation_size,
                            .action_size = table.environment()->action_size,
                            .max_magnitude = options_.max_magnitude};
  const std::vector<Segment> segments = TakeGoodSegments(chunk, limits, &refused);
  for (const auto& [reason, count] : refused) {
    table.quarantined()[reason] += count;
    writer->rows_quarantined += count;
    entry.instruments->Quarantined(reason, static_cast<double>(count));
  }
  const auto first_key = static_cast<uint64_t>(table.rows_inserted());
  InsertSegments(writer, handle.index, segments);
  writer->accepted_sequence = sequence;
  TakenChunk taken = TakeTrace(writer->table, first_key, chunk);
  if (IsDurable(writer->table)) {
    pending_.chunks.push_back(std::move(taken));
    MarkWriter(handle.index);
    MarkTable(writer->table);
  } else {
    writer->durable_sequence = sequence;
    AddAppendSpan(taken);
  }
  UpdateFigures(entry);
  return absl::OkStatus();
}

ReplayCore::TakenChunk ReplayCore::TakeTrace(size_t table, uint64_t first_key, const TransitionChunk& chunk) {
  TableEntry& entry = tables_[table];
  const auto end = static_cast<uint64_t>(entry.table->rows_inserted());
  TakenChunk taken{.table = table, .time = clock_.Now(), .rows = static_cast<int64_t>(end - first_key)};
  if (chunk.trace.has_value() && end > first_key) {
    taken.parent = chunk.trace;
    taken.span = trace_log_ == nullptr ? *chunk.trace : trace_log_->NewChild(*chunk.trace);
    taken.start = absl::Now();
    entry.traced.Add(first_key, end, taken.span);
  }
  return taken;
}

// From the moment it was taken in until now.
void ReplayCore::AddAppendSpan(const TakenChunk& chunk) const {
  if (chunk.parent.has_value() && trace_log_ != nullptr) {
    trace_log_->Add(chunk.span, &*chunk.parent,
                    {.name = "append",
                     .start = chunk.start,
                     .end = absl::Now(),
                     .attributes = {{"table", options_.tables[chunk.table].name}, {"rows", chunk.rows}}});
  }
}

void ReplayCore::InsertSegments(Writer* writer, uint32_t writer_index, const std::vector<Segment>& segments) {
  TableEntry& entry = tables_[writer->table];
  Table& table = *entry.table;
  const SegmentOrigin origin = {
      .writer_index = writer_index, .writer_epoch = writer->epoch, .environment_rows = EnvironmentRows()};
  int64_t rows = 0;
  for (const Segment& segment : segments) {
    rows += segment.num_steps;
    auto packed = std::make_shared<const PackedSegment>(segment, table.environment()->observation_size,
                                                        table.environment()->action_size, origin);
    writer->episodes += packed->ends_episode() ? 1 : 0;
    const std::optional<uint64_t> first_key = table.Insert(packed, clock_.Now());
    if (first_key.has_value() && IsDurable(writer->table)) {
      pending_.segments.push_back({writer->table, {std::move(packed), *first_key}});
    }
  }
  writer->rows += rows;
  entry.last_chunk_rows = std::max<int64_t>(rows, 1);
  entry.instruments->Inserted(static_cast<double>(rows));
  if (table.options().name == kEnvironmentTable) {
    DropAgedRows();
  }
}

int64_t ReplayCore::EnvironmentRows() const {
  for (const TableEntry& entry : tables_) {
    if (entry.table->options().name == kEnvironmentTable) {
      return entry.table->rows_inserted();
    }
  }
  return 0;
}

void ReplayCore::DropAgedRows() {
  for (size_t i = 0; i < tables_.size(); ++i) {
    TableEntry& entry = tables_[i];
    if (entry.table->options().max_age_environment_rows > 0 &&
        entry.table->RemoveOlderThan(EnvironmentRows()) > 0) {
      MarkTable(i);
      UpdateFigures(entry);
    }
  }
}

WriterPosition ReplayCore::Position(const WriterHandle& handle) const {
  absl::MutexLock lock(&mutex_);
  const Writer& writer = writers_[handle.index];
  const Table& table = *tables_[writer.table].table;
  return {.accepted_sequence = writer.accepted_sequence,
          .durable_sequence = writer.durable_sequence,
          .rows_allowed = writer.simulated ? table.limiter().RowsAllowed() : RateLimiter::kUnlimitedRows,
          .rows_inserted = table.rows_inserted(),
          .rows_quarantined = writer.rows_quarantined,
          .durable_soon = IsDurable(writer.table) && store_status_.ok(),
          .fenced = handle.epoch != writer.epoch};
}

absl::StatusOr<std::optional<RowsRead>> ReplayCore::ReadRows(const std::string& name, uint64_t position,
                                                             int64_t max_rows) const {
  ASSIGN_OR_RETURN(const size_t index, FindTable(name));
  absl::MutexLock lock(&mutex_);
  if (closed_) {
    return absl::CancelledError("replay is closed");
  }
  const Table& table = *tables_[index].table;
  if (position > static_cast<uint64_t>(table.rows_inserted())) {
    return absl::DataLossError(absl::StrCat("position ", position, " of table '", name,
                                            "'; the table has taken in ", table.rows_inserted(),
                                            " rows, what was read before is lost"));
  }
  const bool only_durable = IsDurable(index) && store_status_.ok();
  const auto end = static_cast<uint64_t>(only_durable ? tables_[index].durable_rows : table.rows_inserted());
  Table::Slice slice = table.Read(position, end, max_rows);
  if (slice.num_rows == 0) {
    return std::nullopt;
  }
  RowsRead rows;
  rows.position = slice.position;
  rows.next_position = slice.position + static_cast<uint64_t>(slice.num_rows);
  rows.traces = tables_[index].traced.BeginningIn(rows.position, rows.next_position);
  rows.chunk = {.observation_size = table.environment()->observation_size,
                .action_size = table.environment()->action_size,
                .segments = std::move(slice.segments)};
  return rows;
}

absl::StatusOr<RoundShare> ReplayCore::ClaimRound(const std::string& name, const RoundClaim& claim) {
  ASSIGN_OR_RETURN(const size_t index, FindTable(name));
  if (claim.planner_id.empty() || claim.rounds_per_version < 1 || claim.start_states_per_round < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("planner '", claim.planner_id, "' calls for ", claim.rounds_per_version, " rounds of ",
                     claim.start_states_per_round, " start states; want a name and at least 1 of each"));
  }
  absl::MutexLock lock(&mutex_);
  TableEntry& entry = tables_[index];
  if (!entry.rounds.has_value()) {
    const auto& segments = entry.table->segments();
    entry.rounds.emplace();
    entry.rounds->GoOnAfter(segments.empty() ? 0 : segments.back().segment->dynamics_version(),
                            entry.table->latest_round());
  }
  const RoundShare share = entry.rounds->Claim(claim, clock_.Now());
  entry.instruments->SetRounds(entry.rounds->queued(), entry.rounds->skipped(), entry.rounds->planners());
  return share;
}

absl::StatusOr<int64_t> ReplayCore::UpdatePriorities(const std::string& table,
                                                     const std::vector<uint64_t>& keys,
                                                     const std::vector<double>& priorities) {
  RETURN_IF_ERROR(FindTable(table).status());
  if (keys.size() != priorities.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat(keys.size(), " keys and ", priorities.size(), " priorities; want equally many"));
  }
  return absl::FailedPreconditionError(
      absl::StrCat("table '", table, "' has a selector without priorities (uniform or FIFO)"));
}

absl::StatusOr<int64_t> ReplayCore::PurgeDynamicsVersion(const std::string& name, uint64_t dynamics_version) {
  ASSIGN_OR_RETURN(const size_t index, FindTable(name));
  int64_t removed = 0;
  {
    absl::MutexLock lock(&mutex_);
    removed = tables_[index].table->RemoveDynamicsVersion(dynamics_version);
    MarkTable(index);
    UpdateFigures(tables_[index]);
  }
  NotifyChange();
  return removed;
}

absl::StatusOr<int64_t> ReplayCore::PurgeBefore(const std::string& name, uint64_t key) {
  ASSIGN_OR_RETURN(const size_t index, FindTable(name));
  int64_t removed = 0;
  {
    absl::MutexLock lock(&mutex_);
    removed = tables_[index].table->RemoveBefore(key);
    MarkTable(index);
    UpdateFigures(tables_[index]);
  }
  NotifyChange();
  return removed;
}

void ReplayCore::SetPaused(bool paused) {
  {
    absl::MutexLock lock(&mutex_);
    paused_ = paused;
  }
  NotifyChange();
}

void ReplayCore::Close() {
  {
    absl::MutexLock lock(&mutex_);
    closed_ = true;
  }
  NotifyChange();
}

bool ReplayCore::closed() const {
  absl::MutexLock lock(&mutex_);
  return closed_;
}

}  // namespace demorl
