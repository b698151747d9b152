#include "services/robot_gateway/transition_uploader.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/base/status_macros.h"
#include "common/tensor/transition_codec.h"
#include "spdlog/spdlog.h"

namespace demorl {
namespace {

// A blocking call waits at most this long before the thread looks whether it shall end, and at what has
// become durable.
constexpr absl::Duration kSlice = absl::Milliseconds(100);

absl::Time SliceEnd() { return absl::Now() + kSlice; }

absl::StatusOr<TransitionChunk> DecodeRecord(const RecordSpool::Record& record) {
  demorl::common::v1::TransitionChunk message;
  if (!message.ParseFromString(record.payload)) {
    return absl::InvalidArgumentError("not a serialised chunk");
  }
  ASSIGN_OR_RETURN(TransitionChunk chunk, DecodeTransitionChunk(message));
  // A writer gives it no number.
  if (chunk.num_rows() == 0) {
    return absl::InvalidArgumentError("a chunk without rows");
  }
  return chunk;
}

}  // namespace

TransitionUploader::TransitionUploader(const Options& options, Parts parts)
    : options_(options), parts_(std::move(parts)), thread_("robot-upload", [this] { return Run(); }) {
  figures_.detail = "not started";
}

TransitionUploader::Figures TransitionUploader::figures() const {
  absl::MutexLock lock(&mutex_);
  return figures_;
}

void TransitionUploader::Describe(std::string detail) {
  absl::MutexLock lock(&mutex_);
  figures_.detail = std::move(detail);
}

absl::Status TransitionUploader::Run() {
  while (!done_ && !thread_.MustEnd()) {
    const absl::Status refusal = UploadWithNewWriter();
    if (refusal.ok()) {
      break;
    }
    spdlog::error("upload: {}; trying again in {}", std::string(refusal.message()),
                  absl::FormatDuration(options_.retry_interval));
    {
      absl::MutexLock lock(&mutex_);
      figures_.refusal = refusal;
    }
    thread_.Rest(options_.retry_interval);
  }
  const int64_t left = parts_.spool->figures().records;
  absl::MutexLock lock(&mutex_);
  figures_.detail = "ended";
  if (done_) {
    return absl::OkStatus();
  }
  return absl::DeadlineExceededError(
      absl::StrCat(left, " records stay in the spool ", parts_.spool->folder().string(),
                   " for the next start", figures_.refusal.ok() ? "" : ": ", figures_.refusal.message()));
}

absl::Status TransitionUploader::Judge(const absl::Status& status) {
  if (absl::IsDataLoss(status)) {
    spdlog::warn("upload: {}", std::string(status.message()));
    {
      absl::MutexLock lock(&mutex_);
      ++figures_.data_losses;
    }
    // What was sent and is not durable has other numbers now.
    if (parts_.delivery->last_sent() > 0) {
      const uint64_t next = parts_.delivery->last_sent() + 1;
      RETURN_IF_ERROR(parts_.delivery->Prepare(next, writer_->LastSequence() + 1));
    }
    return absl::OkStatus();
  }
  return absl::IsDeadlineExceeded(status) || absl::IsUnavailable(status) ? absl::OkStatus() : status;
}

// Until replay has answered, and what it took in of earlier writers is durable.
absl::Status TransitionUploader::WaitUntilReachable() {
  Describe("waiting for replay");
  while (!thread_.MustEnd()) {
    absl::Status status = writer_->WaitForRowsAllowed(1, SliceEnd());
    if (status.ok()) {
      status = writer_->Flush(SliceEnd());
    }
    if (status.ok()) {
      return status;
    }
    RETURN_IF_ERROR(Judge(status));
  }
  return absl::OkStatus();
}

absl::Status TransitionUploader::UploadWithNewWriter() {
  writer_ = parts_.make_writer();
  RETURN_IF_ERROR(WaitUntilReachable());
  if (thread_.MustEnd()) {
    return absl::OkStatus();
  }
  {
    absl::MutexLock lock(&mutex_);
    figures_.refusal = absl::OkStatus();
  }
  ASSIGN_OR_RETURN(last_read_, parts_.delivery->Resume(writer_->LastSequence()));
  reader_ = std::make_unique<RecordSpool::Reader>(parts_.spool, last_read_);
  pending_.reset();
  CountDurable();
  sent_.clear();
  while (!done_ && !thread_.MustEnd()) {
    RETURN_IF_ERROR(Step());
  }
  return absl::OkStatus();
}

absl::Status TransitionUploader::Step() {
  RETURN_IF_ERROR(Trim());
  if (!pending_.has_value()) {
    RETURN_IF_ERROR(TakeNext());
  }
  return pending_.has_value() ? Send() : WaitForMore();
}

absl::Status TransitionUploader::Trim() {
  RETURN_IF_ERROR(parts_.delivery->Durable(writer_->DurableSequence()));
  CountDurable();
  return absl::OkStatus();
}

void TransitionUploader::CountDurable() {
  int64_t rows = 0;
  while (!sent_.empty() && sent_.front().sequence <= parts_.delivery->durable()) {
    rows += sent_.front().rows;
    sent_.pop_front();
  }
  absl::MutexLock lock(&mutex_);
  figures_.rows_durable += rows;
  figures_.rows_in_table = writer_->RowsInserted();
}

absl::Status TransitionUploader::TakeNext() {
  const uint64_t last_spooled = parts_.spool->last_sequence();
  ASSIGN_OR_RETURN(const std::optional<RecordSpool::Record> record, reader_->Next());
  if (!record.has_value()) {
    last_read_ = std::max(last_read_, last_spooled);  // beyond what was passed over
    return absl::OkStatus();
  }
  last_read_ = record->sequence;
  absl::StatusOr<TransitionChunk> chunk = DecodeRecord(*record);
  if (!chunk.ok()) {
    spdlog::warn("upload: record {} passed over: {}", record->sequence,
                 std::string(chunk.status().message()));
    absl::MutexLock lock(&mutex_);
    ++figures_.undecodable_records;
    return absl::OkStatus();
  }
  pending_ = Pending{record->sequence, *std::move(chunk)};
  return absl::OkStatus();
}

absl::Status TransitionUploader::Send() {
  const absl::Status prepared = parts_.delivery->Prepare(pending_->sequence, writer_->LastSequence() + 1);
  if (absl::IsUnavailable(prepared)) {
    return Judge(writer_->Flush(SliceEnd()));
  }
  RETURN_IF_ERROR(prepared);
  const absl::Status status = writer_->Append(pending_->chunk, SliceEnd());
  if (!status.ok()) {
    Describe("waiting for replay to take rows");
    return Judge(status);
  }
  parts_.delivery->Sent(pending_->sequence);
  const int64_t rows = pending_->chunk.num_rows();
  sent_.push_back({pending_->sequence, rows});
  pending_.reset();
  absl::MutexLock lock(&mutex_);
  figures_.rows_sent += rows;
  figures_.detail = "uploading";
  return absl::OkStatus();
}

absl::Status TransitionUploader::WaitForMore() {
  if (!thread_.stop_requested()) {
    parts_.spool->WaitBeyond(last_read_, SliceEnd());
    return absl::OkStatus();
  }
  const absl::Status durable = writer_->Flush(SliceEnd());
  RETURN_IF_ERROR(durable.ok() ? Trim() : Judge(durable));
  done_ = durable.ok() && parts_.spool->last_sequence() <= last_read_;
  return absl::OkStatus();
}

}  // namespace demorl
