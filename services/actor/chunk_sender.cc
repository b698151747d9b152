#include "services/actor/chunk_sender.h"

#include <algorithm>
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

// Chunks are cut so that each is one message of the writer, and the spool's sequences are the writer's.
constexpr size_t kMaxChunkBytes = 512 << 10;

std::vector<TransitionChunk> Cut(TransitionChunk chunk) {
  std::vector<TransitionChunk> pieces;
  size_t bytes = kMaxChunkBytes;
  for (Segment& segment : chunk.segments) {
    const size_t segment_bytes =
        4 * (segment.observations.size() + segment.actions.size() + segment.rewards.size()) +
        8 * segment.policy_versions.size();
    if (bytes + segment_bytes > kMaxChunkBytes) {
      pieces.push_back({.observation_size = chunk.observation_size, .action_size = chunk.action_size});
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
  if (parts_.spool != nullptr) {
    RETURN_IF_ERROR(Spool(chunk, give_up));
  }
  while (true) {
    const absl::Status status = parts_.writer->Append(chunk, std::min(CollectionSlice(), give_up));
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

absl::Status ChunkSender::Spool(const TransitionChunk& chunk, absl::Time give_up) {
  const std::string payload = EncodeTransitionChunk(chunk).SerializeAsString();
  while (true) {
    const absl::Status status = parts_.spool->Append(parts_.writer->LastSequence() + 1, payload);
    give_up = EarlierOf(give_up);
    if (!absl::IsResourceExhausted(status) || absl::Now() >= give_up) {
      return status;
    }
    parts_.describe(absl::StrCat("waiting for room in the spool: ", status.message()));
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
  if (const absl::Status status = parts_.spool->RemoveThrough(parts_.writer->DurableSequence());
      !status.ok()) {
    spdlog::warn("spool: {}", std::string(status.message()));
  }
  parts_.metrics->spool_bytes.Set(static_cast<double>(parts_.spool->num_bytes()));
}

// CANCELLED when a stop is requested meanwhile.
absl::Status ChunkSender::WaitUntilReachable() {
  absl::Status status;
  do {
    if (stop_requested()) {
      return absl::CancelledError("a stop was requested");
    }
    status = parts_.writer->WaitForRowsAllowed(1, CollectionSlice());
  } while (IsRetryable(status));
  return status;
}

absl::Status ChunkSender::Recover() {
  if (parts_.spool == nullptr) {
    return absl::OkStatus();
  }
  parts_.metrics->spool_dropped_bytes.Increment(static_cast<double>(parts_.spool->num_damaged_bytes()));
  const std::vector<ChunkSpool::Record> records = parts_.spool->TakeRecovered();
  if (records.empty()) {
    return parts_.spool->RemoveRecovered();
  }
  parts_.describe("waiting for replay, to hand over what an earlier start spooled");
  if (const absl::Status reached = WaitUntilReachable(); !reached.ok()) {
    return stop_requested() ? absl::OkStatus() : reached;
  }
  const uint64_t accepted = parts_.writer->LastSequence();
  int num_sent = 0;
  for (const ChunkSpool::Record& record : records) {
    demorl::common::v1::TransitionChunk message;
    if (record.sequence <= accepted || !message.ParseFromString(record.payload)) {
      continue;
    }
    absl::StatusOr<TransitionChunk> chunk = DecodeTransitionChunk(message);
    if (!chunk.ok()) {
      spdlog::warn("spool: chunk {} dropped: {}", record.sequence, std::string(chunk.status().message()));
      continue;
    }
    RETURN_IF_ERROR(Send(*std::move(chunk), absl::InfiniteFuture()));
    ++num_sent;
  }
  absl::Status durable;
  do {
    durable = parts_.writer->Flush(CollectionSlice());
  } while (IsRetryable(durable) && !stop_requested());
  rows_sent_ = 0;  // counts this process's rows, which start now
  spdlog::info("spool: {} chunks found, {} sent again", records.size(), num_sent);
  return IsRetryable(durable) ? absl::OkStatus() : parts_.spool->RemoveRecovered();
}

}  // namespace demorl
