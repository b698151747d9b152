#include "services/actor/chunk_sender.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/base/status_macros.h"
#include "common/tensor/transition_codec.h"
#include "spdlog/spdlog.h"

namespace demorl {
namespace {

constexpr absl::Duration kSlice = absl::Milliseconds(200);

// Chunks are cut so that each is one message of the writer: a record of the spool has one of its numbers.
constexpr size_t kMaxChunkBytes = 512 << 10;

std::vector<TransitionChunk> Cut(TransitionChunk chunk) {
  std::vector<TransitionChunk> pieces;
  size_t bytes = kMaxChunkBytes;
  for (Segment& segment : chunk.segments) {
    const size_t segment_bytes =
        4 * (segment.observations.size() + segment.actions.size() + segment.rewards.size()) +
        8 * segment.policy_versions.size();
    if (bytes + segment_bytes > kMaxChunkBytes) {
      pieces.push_back({.observation_size = chunk.observation_size,
                        .action_size = chunk.action_size,
                        .segments = {},
                        .trace = pieces.empty() ? chunk.trace : std::nullopt});
      bytes = 0;
    }
    pieces.back().segments.push_back(std::move(segment));
    bytes += segment_bytes;
  }
  return pieces;
}

}  // namespace

absl::Time CollectionSlice() { return absl::Now() + kSlice; }

bool IsRetryable(const absl::Status& status) {
  if (absl::IsDataLoss(status)) {
    spdlog::warn("{}", std::string(status.message()));
  }
  return absl::IsDeadlineExceeded(status) || absl::IsUnavailable(status) || absl::IsDataLoss(status);
}

absl::Status ChunkSender::Send(TransitionChunk chunk, absl::Time give_up) {
  for (const TransitionChunk& piece : Cut(std::move(chunk))) {
    RETURN_IF_ERROR(SendPiece(piece, give_up));
  }
  return absl::OkStatus();
}

absl::Status ChunkSender::SendPiece(const TransitionChunk& chunk, absl::Time give_up) {
  ASSIGN_OR_RETURN(const uint64_t sequence, Spool(chunk, give_up));
  return SendSpooled(sequence, chunk, give_up);
}

absl::Status ChunkSender::SendSpooled(uint64_t sequence, const TransitionChunk& chunk, absl::Time give_up) {
  while (true) {
    const absl::Status status = TryToSend(sequence, chunk, std::min(CollectionSlice(), give_up));
    if (status.ok()) {
      rows_sent_ += chunk.num_rows();
      return status;
    }
    give_up = EarlierOf(give_up);
    if (!IsRetryable(status) || absl::Now() >= give_up) {
      return status;
    }
    parts_.describe("waiting for replay to take rows");
  }
}

absl::Status ChunkSender::TryToSend(uint64_t sequence, const TransitionChunk& chunk, absl::Time deadline) {
  if (parts_.spool == nullptr) {
    return parts_.writer->Append(chunk, deadline);
  }
  Trim();
  absl::Status status = parts_.delivery->Prepare(sequence, parts_.writer->LastSequence() + 1);
  if (absl::IsUnavailable(status)) {
    RETURN_IF_ERROR(parts_.writer->Flush(deadline));
    return status;
  }
  RETURN_IF_ERROR(status);
  RETURN_IF_ERROR(parts_.writer->Append(chunk, deadline));
  parts_.delivery->Sent(sequence);
  return absl::OkStatus();
}

absl::StatusOr<uint64_t> ChunkSender::Spool(const TransitionChunk& chunk, absl::Time give_up) {
  if (parts_.spool == nullptr) {
    return 0;
  }
  const std::string payload = EncodeTransitionChunk(chunk).SerializeAsString();
  while (true) {
    const absl::StatusOr<uint64_t> sequence = parts_.spool->Append(payload);
    give_up = EarlierOf(give_up);
    if (!absl::IsResourceExhausted(sequence.status()) || absl::Now() >= give_up) {
      return sequence;
    }
    parts_.describe(absl::StrCat("waiting for room in the spool: ", sequence.status().message()));
    const absl::Status flushed = parts_.writer->Flush(std::min(CollectionSlice(), give_up));
    if (!flushed.ok() && !IsRetryable(flushed)) {
      return flushed;
    }
    Trim();
  }
}

void ChunkSender::Trim() {
  if (parts_.spool == nullptr) {
    return;
  }
  if (const absl::Status status = parts_.delivery->Durable(parts_.writer->DurableSequence()); !status.ok()) {
    spdlog::warn("spool: {}", std::string(status.message()));
  }
  parts_.metrics->spool_bytes.Set(static_cast<double>(parts_.spool->figures().bytes));
}

// Until replay has answered, and what it took in of an earlier process is durable. CANCELLED when a stop is
// requested meanwhile.
absl::Status ChunkSender::WaitUntilReachable() {
  absl::Status status;
  do {
    if (stop_requested()) {
      return absl::CancelledError("a stop was requested");
    }
    status = parts_.writer->WaitForRowsAllowed(1, CollectionSlice());
    if (status.ok()) {
      status = parts_.writer->Flush(CollectionSlice());
    }
  } while (IsRetryable(status));
  return status;
}

absl::StatusOr<int> ChunkSender::SendRest(uint64_t sequence) {
  RecordSpool::Reader reader(parts_.spool, sequence);
  int num_sent = 0;
  while (true) {
    ASSIGN_OR_RETURN(const std::optional<RecordSpool::Record> record, reader.Next());
    if (!record.has_value()) {
      return num_sent;
    }
    demorl::common::v1::TransitionChunk message;
    message.ParseFromString(record->payload);
    absl::StatusOr<TransitionChunk> chunk = DecodeTransitionChunk(message);
    if (!chunk.ok()) {
      spdlog::warn("spool: chunk {} dropped: {}", record->sequence, std::string(chunk.status().message()));
      continue;
    }
    RETURN_IF_ERROR(SendSpooled(record->sequence, *chunk, absl::InfiniteFuture()));
    ++num_sent;
  }
}

absl::Status ChunkSender::Recover() {
  if (parts_.spool == nullptr) {
    return absl::OkStatus();
  }
  const RecordSpool::Figures found = parts_.spool->figures();
  parts_.metrics->spool_dropped_bytes.Increment(static_cast<double>(found.damaged_bytes));
  if (found.records == 0) {
    return absl::OkStatus();
  }
  parts_.describe("waiting for replay, to hand over what an earlier start spooled");
  if (const absl::Status reached = WaitUntilReachable(); !reached.ok()) {
    return stop_requested() ? absl::OkStatus() : reached;
  }
  ASSIGN_OR_RETURN(const uint64_t sequence, parts_.delivery->Resume(parts_.writer->LastSequence()));
  ASSIGN_OR_RETURN(const int num_sent, SendRest(sequence));
  absl::Status durable;
  do {
    durable = parts_.writer->Flush(CollectionSlice());
  } while (IsRetryable(durable) && !stop_requested());
  Trim();
  rows_sent_ = 0;  // counts this process's rows, which start now
  spdlog::info("spool: {} chunks found, {} sent again", found.records, num_sent);
  return IsRetryable(durable) ? absl::OkStatus() : durable;
}

}  // namespace demorl
