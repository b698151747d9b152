#include <algorithm>
#include <deque>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/tensor/transition_codec.h"
#include "services/replay/client_streams.h"
#include "services/replay/reconnecting_call.h"

namespace demorl {
namespace {

namespace pb = ::demorl::replay::v1;

// Chunks are cut at segments so that a message stays near this size.
constexpr int64_t kPieceBytes = 1 << 20;
// Chunks held because they are not durable yet.
constexpr int64_t kMaxHeldBytes = 64 << 20;

struct HeldChunk {
  pb::AppendRequest request;
  int64_t bytes = 0;
  int64_t rows = 0;
};

int64_t SegmentBytes(const Segment& segment) {
  return static_cast<int64_t>(
      4 * (segment.observations.size() + segment.actions.size() + segment.rewards.size()) +
      8 * segment.policy_versions.size());
}

HeldChunk Hold(const TransitionChunk& piece) {
  HeldChunk held;
  *held.request.mutable_chunk()->mutable_chunk() = EncodeTransitionChunk(piece);
  held.bytes = static_cast<int64_t>(held.request.chunk().chunk().ByteSizeLong());
  held.rows = piece.num_rows();
  return held;
}

// The first piece carries the chunk's trace.
std::vector<HeldChunk> CutIntoPieces(const TransitionChunk& chunk) {
  std::vector<HeldChunk> pieces;
  TransitionChunk piece{.observation_size = chunk.observation_size,
                        .action_size = chunk.action_size,
                        .segments = {},
                        .trace = chunk.trace};
  int64_t bytes = 0;
  for (const Segment& segment : chunk.segments) {
    if (bytes > 0 && bytes + SegmentBytes(segment) > kPieceBytes) {
      pieces.push_back(Hold(piece));
      piece.segments.clear();
      piece.trace.reset();
      bytes = 0;
    }
    piece.segments.push_back(segment);
    bytes += SegmentBytes(segment);
  }
  if (!piece.segments.empty()) {
    pieces.push_back(Hold(piece));
  }
  return pieces;
}

// The queue of chunks that are not durable yet, with consecutive sequences, and what the server said last.
class WriterCall final : public ReconnectingCall {
 public:
  WriterCall(std::shared_ptr<pb::ReplayService::Stub> stub, const std::string& run_id,
             const ReplayWriterOptions& options)
      : ReconnectingCall(absl::StrCat("writer '", options.writer_id, "' of table '", options.table, "'")),
        stub_(std::move(stub)),
        simulated_(options.simulated) {
    open_.mutable_open()->set_run_id(run_id);
    open_.mutable_open()->set_table(options.table);
    open_.mutable_open()->set_writer_id(options.writer_id);
    open_.mutable_open()->set_writer_epoch(options.writer_epoch);
    open_.mutable_open()->set_simulated(options.simulated);
    *open_.mutable_open()->mutable_environment() = EncodeEnvironmentSpec(options.environment);
  }

  absl::Status Append(const TransitionChunk& chunk, absl::Time deadline) {
    std::vector<HeldChunk> pieces = CutIntoPieces(chunk);
    absl::MutexLock lock(&mutex_);
    const bool ready =
        mutex_.AwaitWithDeadline(absl::Condition(this, &WriterCall::CanQueueOrEnded), deadline);
    if (absl::Status status = TakeTrouble(); !status.ok()) {
      return status;
    }
    if (!ready) {
      return DeadlineError("room in the byte window");
    }
    for (HeldChunk& piece : pieces) {
      piece.request.mutable_chunk()->set_sequence(++last_sequence_);
      held_bytes_ += piece.bytes;
      held_.push_back(std::move(piece));
    }
    SendNext();
    return absl::OkStatus();
  }

  int64_t RowsAllowed() const {
    absl::MutexLock lock(&mutex_);
    return RowsAllowedLocked();
  }

  absl::Status WaitForRowsAllowed(int64_t rows, absl::Time deadline) {
    absl::MutexLock lock(&mutex_);
    const auto ready = [this, rows]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
      return ended() || !data_loss_.ok() || (opened_once_ && RowsAllowedLocked() >= rows);
    };
    const bool in_time = mutex_.AwaitWithDeadline(absl::Condition(&ready), deadline);
    if (absl::Status status = TakeTrouble(); !status.ok()) {
      return status;
    }
    return in_time ? absl::OkStatus() : DeadlineError(absl::StrCat(rows, " rows to be allowed"));
  }

  int64_t RowsInserted() const {
    absl::MutexLock lock(&mutex_);
    return static_cast<int64_t>(position_.rows_inserted());
  }

  uint64_t LastSequence() const {
    absl::MutexLock lock(&mutex_);
    return last_sequence_;
  }

  uint64_t DurableSequence() const {
    absl::MutexLock lock(&mutex_);
    return position_.durable_sequence();
  }

  absl::Status Flush(absl::Time deadline) {
    absl::MutexLock lock(&mutex_);
    const bool in_time =
        mutex_.AwaitWithDeadline(absl::Condition(this, &WriterCall::AllDurableOrEnded), deadline);
    if (absl::Status status = TakeTrouble(); !status.ok()) {
      return status;
    }
    return in_time ? absl::OkStatus()
                   : DeadlineError(absl::StrCat("sequence ", last_sequence_, " to be durable"));
  }

 private:
  class Stream final : public grpc::ClientBidiReactor<pb::AppendRequest, pb::AppendResponse> {
   public:
    explicit Stream(WriterCall* call) : call_(call) {
      call_->stub_->async()->Append(&context_, this);
      AddHold();
      StartRead(&response_);
    }
    void Cancel() { context_.TryCancel(); }
    void OnReadDone(bool ok) override {
      if (ok && call_->OnResponse(this, response_)) {
        StartRead(&response_);
      } else {
        call_->StopSending(this);
        RemoveHold();
      }
    }
    void OnWriteDone(bool ok) override { call_->OnSent(this, ok); }
    void OnDone(const grpc::Status& status) override {
      const grpc::Status end = status;
      WriterCall* const call = call_;
      call->StreamEnding();
      delete this;
      call->StreamEnded(end);
    }

   private:
    WriterCall* const call_;
    grpc::ClientContext context_;
    pb::AppendResponse response_;
  };

  void StartStream() override ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    stream_ = new Stream(this);
    can_send_ = true;
    handshaken_ = false;
    bytes_sent_ = 0;
    sending_ = true;
    stream_->StartWrite(&open_);
    stream_->StartCall();
  }

  void CancelStream() override ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { stream_->Cancel(); }

  void OnStreamEnding() override ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    stream_ = nullptr;
    sending_ = can_send_ = handshaken_ = false;
    DropDurable();
  }

  bool OnResponse(Stream* stream, const pb::AppendResponse& response) {
    absl::MutexLock lock(&mutex_);
    if (stream != stream_ || ended()) {
      return false;
    }
    position_ = response;
    if (!handshaken_) {
      StreamWorks();
      Handshake();
    }
    DropDurable();
    SendNext();
    return true;
  }

  // Goes on after what the server has. It may have less than it once called durable only if it lost its
  // store.
  void Handshake() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    handshaken_ = true;
    window_bytes_ = static_cast<int64_t>(position_.bytes_granted());
    const uint64_t accepted = position_.accepted_sequence();
    const uint64_t first_held = last_sequence_ + 1 - held_.size();
    const bool first_handshake = !opened_once_;
    opened_once_ = true;
    next_to_send_ = accepted + 1;
    if (!first_handshake && accepted + 1 >= first_held && accepted <= last_sequence_) {
      return;
    }
    if (!first_handshake) {
      data_loss_ = absl::DataLossError(absl::StrCat("replay has chunks up to ", accepted, " of writer '",
                                                    open_.open().writer_id(), "'; it had called ",
                                                    first_held - 1, " durable"));
    }
    for (size_t i = 0; i < held_.size(); ++i) {
      held_[i].request.mutable_chunk()->set_sequence(accepted + 1 + i);
    }
    last_sequence_ = accepted + held_.size();
  }

  void DropDurable() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    // The request under way is in gRPC's hands.
    while (!held_.empty() && held_.front().request.chunk().sequence() <= position_.durable_sequence() &&
           !(sending_ && held_.front().request.chunk().sequence() + 1 == next_to_send_)) {
      held_bytes_ -= held_.front().bytes;
      held_.pop_front();
    }
  }

  void SendNext() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (sending_ || !can_send_ || !handshaken_ || next_to_send_ > last_sequence_) {
      return;
    }
    const uint64_t first_held = last_sequence_ + 1 - held_.size();
    HeldChunk& next = held_[next_to_send_ - first_held];
    const auto granted = static_cast<int64_t>(position_.bytes_granted());
    const bool alone = position_.accepted_sequence() + 1 == next_to_send_;
    if (!alone && bytes_sent_ + next.bytes > granted) {
      return;
    }
    bytes_sent_ += next.bytes;
    ++next_to_send_;
    sending_ = true;
    stream_->StartWrite(&next.request);
  }

  void OnSent(Stream* stream, bool ok) {
    absl::MutexLock lock(&mutex_);
    if (stream != stream_) {
      return;
    }
    sending_ = false;
    can_send_ = can_send_ && ok;
    DropDurable();
    SendNext();
  }

  void StopSending(Stream* stream) {
    absl::MutexLock lock(&mutex_);
    if (stream == stream_) {
      can_send_ = false;
    }
  }

  int64_t RowsAllowedLocked() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (!simulated_) {
      return std::numeric_limits<int64_t>::max();
    }
    if (!opened_once_) {
      return 0;
    }
    int64_t queued_rows = 0;
    for (auto held = held_.rbegin(); held != held_.rend(); ++held) {
      if (held->request.chunk().sequence() <= position_.accepted_sequence()) {
        break;
      }
      queued_rows += held->rows;
    }
    return static_cast<int64_t>(position_.rows_allowed()) - static_cast<int64_t>(position_.rows_inserted()) -
           queued_rows;
  }

  // Bytes queued that the server has not taken in are bounded by its window, all that is held by
  // kMaxHeldBytes.
  bool CanQueueOrEnded() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (ended() || !data_loss_.ok()) {
      return true;
    }
    if (!opened_once_ || held_bytes_ >= kMaxHeldBytes) {
      return false;
    }
    int64_t unaccepted_bytes = 0;
    for (auto held = held_.rbegin(); held != held_.rend(); ++held) {
      if (held->request.chunk().sequence() <= position_.accepted_sequence()) {
        break;
      }
      unaccepted_bytes += held->bytes;
    }
    return unaccepted_bytes < window_bytes_;
  }

  bool AllDurableOrEnded() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return ended() || !data_loss_.ok() || position_.durable_sequence() >= last_sequence_;
  }

  // The end of the writer, or a loss that is reported once.
  absl::Status TakeTrouble() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (ended()) {
      return EndReason();
    }
    return std::exchange(data_loss_, absl::OkStatus());
  }

  const std::shared_ptr<pb::ReplayService::Stub> stub_;
  const bool simulated_;
  pb::AppendRequest open_;

  Stream* stream_ ABSL_GUARDED_BY(mutex_) = nullptr;
  bool opened_once_ ABSL_GUARDED_BY(mutex_) = false;
  bool handshaken_ ABSL_GUARDED_BY(mutex_) = false;
  bool can_send_ ABSL_GUARDED_BY(mutex_) = false;
  bool sending_ ABSL_GUARDED_BY(mutex_) = false;
  pb::AppendResponse position_ ABSL_GUARDED_BY(mutex_);
  // Sequences last_sequence_ + 1 - held_.size() to last_sequence_.
  std::deque<HeldChunk> held_ ABSL_GUARDED_BY(mutex_);
  int64_t held_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t last_sequence_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t next_to_send_ ABSL_GUARDED_BY(mutex_) = 1;
  int64_t window_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  // On this stream.
  int64_t bytes_sent_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::Status data_loss_ ABSL_GUARDED_BY(mutex_);
};

class ReconnectingWriter final : public ReplayWriter {
 public:
  explicit ReconnectingWriter(std::unique_ptr<WriterCall> call) : call_(std::move(call)) { call_->Open(); }
  ~ReconnectingWriter() override { call_->Shutdown(); }

  absl::Status Append(const TransitionChunk& chunk, absl::Time deadline) override {
    return call_->Append(chunk, deadline);
  }
  int64_t RowsAllowed() override { return call_->RowsAllowed(); }
  absl::Status WaitForRowsAllowed(int64_t rows, absl::Time deadline) override {
    return call_->WaitForRowsAllowed(rows, deadline);
  }
  int64_t RowsInserted() const override { return call_->RowsInserted(); }
  uint64_t LastSequence() const override { return call_->LastSequence(); }
  uint64_t DurableSequence() const override { return call_->DurableSequence(); }
  absl::Status Flush(absl::Time deadline) override { return call_->Flush(deadline); }
  void Close() override { call_->Close(); }

 private:
  const std::unique_ptr<WriterCall> call_;
};

}  // namespace

std::unique_ptr<ReplayWriter> MakeReplayWriter(std::shared_ptr<pb::ReplayService::Stub> stub,
                                               const std::string& run_id,
                                               const ReplayWriterOptions& options) {
  return std::make_unique<ReconnectingWriter>(std::make_unique<WriterCall>(std::move(stub), run_id, options));
}

}  // namespace demorl
