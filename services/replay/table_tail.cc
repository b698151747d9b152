#include <deque>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/tensor/trace_codec.h"
#include "common/tensor/transition_codec.h"
#include "services/replay/client_streams.h"
#include "services/replay/reconnecting_call.h"

namespace demorl {
namespace {

namespace pb = ::demorl::replay::v1;

// Responses read ahead; beyond them the transport's flow control holds the server.
constexpr size_t kReadAhead = 4;

class TailCall final : public ReconnectingCall {
 public:
  TailCall(std::shared_ptr<pb::ReplayService::Stub> stub, const std::string& run_id, const std::string& table,
           uint64_t position)
      : ReconnectingCall(absl::StrCat("tail of table '", table, "'")),
        stub_(std::move(stub)),
        position_(position) {
    request_.set_run_id(run_id);
    request_.set_table(table);
  }

  absl::StatusOr<TailedRows> Next(absl::Time deadline) {
    pb::TailResponse response;
    {
      absl::MutexLock lock(&mutex_);
      const bool in_time =
          mutex_.AwaitWithDeadline(absl::Condition(this, &TailCall::HasRowsOrEnded), deadline);
      if (ended()) {
        return EndReason();
      }
      if (!in_time) {
        return DeadlineError("rows");
      }
      response = std::move(received_.front());
      received_.pop_front();
      ReadOn();
    }
    TailedRows rows;
    rows.position = response.position();
    rows.next_position = response.next_position();
    rows.traces = DecodeTraceContexts(response.traces());
    ASSIGN_OR_RETURN(rows.chunk, DecodeTransitionChunk(response.chunk()));
    return rows;
  }

 private:
  class Stream final : public grpc::ClientReadReactor<pb::TailResponse> {
   public:
    Stream(TailCall* call, const pb::TailRequest& request) : call_(call) {
      call_->stub_->async()->Tail(&context_, &request, this);
      AddHold();
      StartRead(&response_);
    }
    void Cancel() { context_.TryCancel(); }
    void ReadOn() { StartRead(&response_); }
    void OnReadDone(bool ok) override {
      if (!ok) {
        call_->StopReading();
        RemoveHold();
      } else if (!call_->OnResponse(&response_)) {
        RemoveHold();
      }
    }
    void OnDone(const grpc::Status& status) override {
      const grpc::Status end = status;
      TailCall* const call = call_;
      call->StreamEnding();
      delete this;
      call->StreamEnded(end);
    }

   private:
    TailCall* const call_;
    grpc::ClientContext context_;
    pb::TailResponse response_;
  };

  void StartStream() override ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    request_.set_position(position_);
    stream_ = new Stream(this, request_);
    reading_ = true;
    stream_->StartCall();
  }

  void CancelStream() override ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    stream_->Cancel();
    if (!reading_) {
      reading_ = true;  // the read fails, and lets the stream end
      stream_->ReadOn();
    }
  }

  void OnStreamEnding() override ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    stream_ = nullptr;
    reading_ = false;
  }

  // False if no further read comes for this stream.
  bool OnResponse(pb::TailResponse* response) {
    absl::MutexLock lock(&mutex_);
    reading_ = false;
    if (ended()) {
      reading_ = true;
      return false;
    }
    StreamWorks();
    position_ = response->next_position();
    received_.push_back(std::move(*response));
    ReadOn();
    return true;
  }

  void StopReading() {
    absl::MutexLock lock(&mutex_);
    reading_ = true;  // never again on this stream
  }

  void ReadOn() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (stream_ != nullptr && !reading_ && received_.size() < kReadAhead) {
      reading_ = true;
      stream_->ReadOn();
    }
  }

  bool HasRowsOrEnded() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return ended() || !received_.empty(); }

  const std::shared_ptr<pb::ReplayService::Stub> stub_;
  pb::TailRequest request_;

  // Of the first row not received yet.
  uint64_t position_ ABSL_GUARDED_BY(mutex_);
  Stream* stream_ ABSL_GUARDED_BY(mutex_) = nullptr;
  bool reading_ ABSL_GUARDED_BY(mutex_) = false;
  std::deque<pb::TailResponse> received_ ABSL_GUARDED_BY(mutex_);
};

class ReconnectingTail final : public TableTail {
 public:
  explicit ReconnectingTail(std::unique_ptr<TailCall> call) : call_(std::move(call)) { call_->Open(); }
  ~ReconnectingTail() override { call_->Shutdown(); }

  absl::StatusOr<TailedRows> Next(absl::Time deadline) override { return call_->Next(deadline); }
  void Close() override { call_->Close(); }

 private:
  const std::unique_ptr<TailCall> call_;
};

}  // namespace

std::unique_ptr<TableTail> MakeTableTail(std::shared_ptr<pb::ReplayService::Stub> stub,
                                         const std::string& run_id, const std::string& table,
                                         uint64_t position) {
  return std::make_unique<ReconnectingTail>(
      std::make_unique<TailCall>(std::move(stub), run_id, table, position));
}

}  // namespace demorl
