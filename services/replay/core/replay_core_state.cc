// Descriptions, audit and saved states.

#include "absl/strings/str_cat.h"
#include "common/base/crc32c.h"
#include "common/base/status_macros.h"
#include "services/replay/core/byte_codec.h"
#include "services/replay/core/replay_core.h"
#include "services/replay/core/replay_metrics.h"

namespace demorl {
namespace {

constexpr uint32_t kStateVersion = 1;

}  // namespace

void ReplayCore::UpdateFigures(TableEntry& entry) {
  const Table& table = *entry.table;
  const absl::Duration now = clock_.Now();
  const int64_t allowed = table.limiter().RowsAllowed();
  const bool held_back =
      allowed != RateLimiter::kUnlimitedRows && table.rows_inserted() + entry.last_chunk_rows > allowed;
  entry.waiting_writers.SetWaiting(held_back ? entry.open_simulated_writers : 0, now);
  entry.instruments->SetFigures(static_cast<double>(table.size()), static_cast<double>(table.memory_bytes()),
                                table.limiter().Error(table.rows_inserted()));
  ReportWaiting(entry, now);
}

void ReplayCore::ReportWaiting(const TableEntry& entry, absl::Duration now) const {
  entry.instruments->SetWaiting(absl::ToDoubleSeconds(entry.waiting_samplers.Total(now)),
                                absl::ToDoubleSeconds(entry.waiting_writers.Total(now)));
}

TableSummary ReplayCore::Summarize(const TableEntry& entry) const {
  const Table& table = *entry.table;
  const absl::Duration now = clock_.Now();
  return {.name = table.options().name,
          .size = table.size(),
          .max_size = table.options().max_rows,
          .rows_inserted = table.rows_inserted(),
          .first_key = table.first_key(),
          .rows_sampled = table.rows_sampled(),
          .episodes = table.episodes(),
          .rows_quarantined = table.quarantined(),
          .limiter = table.limiter().options(),
          .limiter_error = table.limiter().Error(table.rows_inserted()),
          .updates = table.limiter().updates(),
          .waiting_for_inserts_seconds = absl::ToDoubleSeconds(entry.waiting_samplers.Total(now)),
          .waiting_for_updates_seconds = absl::ToDoubleSeconds(entry.waiting_writers.Total(now)),
          .environment = table.environment(),
          .memory_bytes = table.memory_bytes(),
          .latest_planning_round = table.latest_round(),
          .planning_rounds_queued = entry.rounds.has_value() ? entry.rounds->queued() : 0,
          .planners = entry.rounds.has_value() ? entry.rounds->planners() : 0};
}

absl::StatusOr<TableSummary> ReplayCore::Describe(const std::string& name) const {
  ASSIGN_OR_RETURN(const size_t index, FindTable(name));
  absl::MutexLock lock(&mutex_);
  return Summarize(tables_[index]);
}

std::vector<TableSummary> ReplayCore::DescribeAll() const {
  absl::MutexLock lock(&mutex_);
  std::vector<TableSummary> summaries;
  for (const TableEntry& entry : tables_) {
    ReportWaiting(entry, clock_.Now());
    summaries.push_back(Summarize(entry));
  }
  return summaries;
}

AuditReport ReplayCore::Audit() const {
  absl::MutexLock lock(&mutex_);
  AuditReport report;
  report.violations = damage_;
  std::vector<int64_t> rows(tables_.size());
  for (const Writer& writer : writers_) {
    if (writer.writer_id.empty()) {
      continue;  // of a table that is not kept, before a restart
    }
    rows[writer.table] += writer.rows;
    report.writers.push_back({.writer_id = writer.writer_id,
                              .writer_epoch = writer.epoch,
                              .table = options_.tables[writer.table].name,
                              .accepted_sequence = writer.accepted_sequence,
                              .durable_sequence = writer.durable_sequence,
                              .rows = writer.rows,
                              .duplicate_chunks = writer.duplicate_chunks,
                              .episodes = writer.episodes});
    if (writer.durable_sequence > writer.accepted_sequence) {
      report.violations.push_back(absl::StrCat("writer '", writer.writer_id, "': durable sequence ",
                                               writer.durable_sequence, " is beyond the accepted one, ",
                                               writer.accepted_sequence));
    }
  }
  for (size_t i = 0; i < tables_.size(); ++i) {
    const Table& table = *tables_[i].table;
    if (rows[i] != table.rows_inserted()) {
      report.violations.push_back(absl::StrCat("table '", table.options().name, "' has taken in ",
                                               table.rows_inserted(), " rows; its writers sum to ", rows[i]));
    }
    table.Audit(&report.violations);
  }
  return report;
}

std::string ReplayCore::SaveState() const {
  absl::MutexLock lock(&mutex_);
  ByteWriter writer;
  writer.PutU32(kStateVersion);
  writer.PutString(options_.run_id);
  writer.PutU32(static_cast<uint32_t>(tables_.size()));
  for (const TableEntry& entry : tables_) {
    writer.PutString(entry.table->options().name);
    entry.table->SaveState(&writer);
  }
  writer.PutU32(static_cast<uint32_t>(writers_.size()));
  for (const Writer& saved : writers_) {
    EncodeWriter(saved, &writer);
  }
  writer.PutU32(Crc32c(writer.bytes()));
  return writer.Take();
}

absl::Status ReplayCore::RestoreState(absl::string_view state) {
  if (store_ != nullptr) {
    return absl::FailedPreconditionError("a replay with a store is restored from its store");
  }
  if (state.size() < sizeof(uint32_t)) {
    return absl::DataLossError("the saved state of replay is cut short");
  }
  const absl::string_view body = state.substr(0, state.size() - sizeof(uint32_t));
  if (ByteReader(state.substr(body.size())).GetU32() != Crc32c(body)) {
    return absl::DataLossError("the saved state of replay fails its checksum");
  }
  ByteReader reader(body);
  const uint32_t version = reader.GetU32();
  const std::string run_id = reader.GetString();
  const uint32_t num_tables = reader.GetU32();
  if (version != kStateVersion || run_id != options_.run_id || num_tables != options_.tables.size()) {
    return absl::FailedPreconditionError(absl::StrCat(
        "saved state of version ", version, ", run '", run_id, "', ", num_tables, " tables; want version ",
        kStateVersion, ", run '", options_.run_id, "', ", options_.tables.size(), " tables"));
  }
  absl::MutexLock lock(&mutex_);
  for (TableEntry& entry : tables_) {
    const std::string name = reader.GetString();
    if (name != entry.table->options().name) {
      return absl::FailedPreconditionError(
          absl::StrCat("saved state of table '", name, "'; want '", entry.table->options().name, "'"));
    }
    RETURN_IF_ERROR(entry.table->RestoreState(&reader));
    entry.open_simulated_writers = 0;
  }
  writers_.clear();
  writer_index_.clear();
  const uint32_t num_writers = reader.GetU32();
  for (uint32_t index = 0; index < num_writers && reader.ok(); ++index) {
    RETURN_IF_ERROR(DecodeWriter(&reader, index));
  }
  return reader.done() ? absl::OkStatus() : absl::DataLossError("the saved state of replay is damaged");
}

void ReplayCore::EncodeWriter(const Writer& saved, ByteWriter* writer) const {
  writer->PutString(saved.writer_id);
  writer->PutString(options_.tables[saved.table].name);
  writer->PutU64(saved.epoch);
  writer->PutU64(saved.accepted_sequence);
  writer->PutU64(static_cast<uint64_t>(saved.rows));
  writer->PutU64(static_cast<uint64_t>(saved.rows_quarantined));
  writer->PutU64(static_cast<uint64_t>(saved.duplicate_chunks));
  writer->PutU64(static_cast<uint64_t>(saved.episodes));
  writer->PutU8(saved.simulated ? 1 : 0);
}

absl::Status ReplayCore::DecodeWriter(ByteReader* reader, uint32_t index) {
  Writer writer;
  writer.writer_id = reader->GetString();
  const std::string table = reader->GetString();
  writer.epoch = reader->GetU64();
  writer.accepted_sequence = reader->GetU64();
  writer.durable_sequence = writer.accepted_sequence;
  writer.rows = static_cast<int64_t>(reader->GetU64());
  writer.rows_quarantined = static_cast<int64_t>(reader->GetU64());
  writer.duplicate_chunks = static_cast<int64_t>(reader->GetU64());
  writer.episodes = static_cast<int64_t>(reader->GetU64());
  writer.simulated = reader->GetU8() != 0;
  if (!reader->ok()) {
    return absl::DataLossError("the record of a writer is damaged");
  }
  ASSIGN_OR_RETURN(writer.table, FindTable(table));
  writer_index_[{writer.table, writer.writer_id}] = index;
  if (writers_.size() <= index) {
    writers_.resize(index + 1);
  }
  writers_[index] = std::move(writer);
  return absl::OkStatus();
}

}  // namespace demorl
