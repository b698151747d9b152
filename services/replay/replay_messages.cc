#include "services/replay/replay_messages.h"

#include <algorithm>

#include "common/tensor/trace_codec.h"
#include "common/tensor/transition_codec.h"

namespace demorl {
namespace {

namespace pb = ::demorl::replay::v1;

// What a segment claims, as far as its bytes can back it; at least 1.
int64_t ClaimedRows(const common::v1::Segment& segment) {
  const auto most = static_cast<int64_t>(segment.rewards().size() / sizeof(float)) + 1;
  return std::clamp<int64_t>(segment.num_steps(), 1, most);
}

}  // namespace

pb::TableInfo EncodeTableInfo(const TableSummary& table) {
  pb::TableInfo message;
  message.set_name(table.name);
  message.set_size(static_cast<uint64_t>(table.size));
  message.set_max_size(static_cast<uint64_t>(table.max_size));
  message.set_rows_inserted(static_cast<uint64_t>(table.rows_inserted));
  message.set_first_key(table.first_key);
  message.set_rows_sampled(static_cast<uint64_t>(table.rows_sampled));
  message.set_episodes(static_cast<uint64_t>(table.episodes));
  for (const auto& [reason, rows] : table.rows_quarantined) {
    (*message.mutable_rows_quarantined())[reason] = static_cast<uint64_t>(rows);
  }
  pb::RateLimiterState* limiter = message.mutable_rate_limiter();
  limiter->set_updates_per_row(table.limiter.updates_per_row);
  limiter->set_max_rows_ahead(static_cast<uint64_t>(table.limiter.max_rows_ahead));
  limiter->set_min_rows(static_cast<uint64_t>(table.limiter.min_rows));
  limiter->set_error(table.limiter_error);
  limiter->set_updates(static_cast<uint64_t>(table.updates));
  limiter->set_waiting_for_inserts_seconds(table.waiting_for_inserts_seconds);
  limiter->set_waiting_for_updates_seconds(table.waiting_for_updates_seconds);
  if (table.environment.has_value()) {
    *message.mutable_environment() = EncodeEnvironmentSpec(*table.environment);
  }
  message.set_memory_bytes(static_cast<uint64_t>(table.memory_bytes));
  message.set_latest_planning_round(table.latest_planning_round);
  message.set_planning_rounds_queued(table.planning_rounds_queued);
  message.set_planners(static_cast<uint32_t>(table.planners));
  return message;
}

pb::WriterAudit EncodeWriterAudit(const WriterSummary& writer) {
  pb::WriterAudit message;
  message.set_writer_id(writer.writer_id);
  message.set_writer_epoch(writer.writer_epoch);
  message.set_table(writer.table);
  message.set_accepted_sequence(writer.accepted_sequence);
  message.set_durable_sequence(writer.durable_sequence);
  message.set_rows(static_cast<uint64_t>(writer.rows));
  message.set_duplicate_chunks(static_cast<uint64_t>(writer.duplicate_chunks));
  message.set_episodes(static_cast<uint64_t>(writer.episodes));
  return message;
}

pb::AppendResponse EncodePosition(const WriterPosition& position) {
  pb::AppendResponse message;
  message.set_accepted_sequence(position.accepted_sequence);
  message.set_durable_sequence(position.durable_sequence);
  message.set_rows_allowed(static_cast<uint64_t>(position.rows_allowed));
  message.set_rows_inserted(static_cast<uint64_t>(position.rows_inserted));
  message.set_rows_quarantined(static_cast<uint64_t>(position.rows_quarantined));
  return message;
}

pb::SampleResponse EncodeBatch(const DrawnBatch& drawn) {
  pb::SampleResponse message;
  *message.mutable_batch() = EncodeTransitionBatch(drawn.batch);
  message.set_rows_inserted(static_cast<uint64_t>(drawn.rows_inserted));
  for (const int64_t size : drawn.table_sizes) {
    message.add_table_sizes(static_cast<uint64_t>(size));
  }
  message.set_dynamics_version(drawn.dynamics_version);
  EncodeTraceContexts(drawn.traces, message.mutable_traces());
  message.set_mean_age_seconds(absl::ToDoubleSeconds(drawn.mean_age));
  return message;
}

pb::TailResponse EncodeRows(const RowsRead& rows) {
  pb::TailResponse message;
  message.set_position(rows.position);
  message.set_next_position(rows.next_position);
  *message.mutable_chunk() = EncodeTransitionChunk(rows.chunk);
  EncodeTraceContexts(rows.traces, message.mutable_traces());
  return message;
}

RoundClaim DecodeRoundClaim(const pb::ClaimRoundRequest& request) {
  constexpr uint32_t kMost = 1u << 30;
  return {.planner_id = request.planner_id(),
          .dynamics_version = request.dynamics_version(),
          .rounds_per_version = static_cast<int>(std::min(request.rounds_per_version(), kMost)),
          .start_states_per_round = std::min(request.start_states_per_round(), kMost),
          .finished = request.finished(),
          .lease = absl::Seconds(std::clamp<int64_t>(request.lease().seconds(), 0, 86400)) +
                   absl::Nanoseconds(request.lease().nanos())};
}

TransitionChunk DecodeChunkLeniently(const common::v1::TransitionChunk& message, int64_t* malformed_rows) {
  *malformed_rows = 0;
  absl::StatusOr<TransitionChunk> whole = DecodeTransitionChunk(message);
  if (whole.ok()) {
    return *std::move(whole);
  }
  TransitionChunk chunk;
  chunk.observation_size = static_cast<int>(message.observation_size());
  chunk.action_size = static_cast<int>(message.action_size());
  chunk.trace = DecodeTraceContext(message.trace());
  common::v1::TransitionChunk single;
  single.set_observation_size(message.observation_size());
  single.set_action_size(message.action_size());
  for (const common::v1::Segment& segment : message.segments()) {
    single.clear_segments();
    *single.add_segments() = segment;
    absl::StatusOr<TransitionChunk> decoded = DecodeTransitionChunk(single);
    if (decoded.ok()) {
      chunk.segments.push_back(std::move(decoded->segments.front()));
    } else {
      *malformed_rows += ClaimedRows(segment);
    }
  }
  return chunk;
}

}  // namespace demorl
