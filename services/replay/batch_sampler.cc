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

absl::StatusOr<SampledBatch> Decode(const pb::SampleResponse& response) {
  const common::v1::TransitionBatch& batch = response.batch();
  if (batch.num_rows() == 0) {
    return absl::InternalError("replay sent an empty batch");
  }
  const size_t row_bytes = sizeof(float) * batch.num_rows();
  SampledBatch sampled;
  ASSIGN_OR_RETURN(sampled.batch,
                   DecodeTransitionBatch(batch, static_cast<int>(batch.observations().size() / row_bytes),
                                         static_cast<int>(batch.actions().size() / row_bytes)));
  sampled.rows_inserted = static_cast<int64_t>(response.rows_inserted());
  sampled.table_sizes.assign(response.table_sizes().begin(), response.table_sizes().end());
  sampled.dynamics_version = response.dynamics_version();
  sampled.traces = DecodeTraceContexts(response.traces());
  sampled.mean_age = absl::Seconds(response.mean_age_seconds());
  return sampled;
}

// Batches received and not taken yet, and the credits that keep `batches_in_flight` of them under way.
class SamplerCall final : public ReconnectingCall {
 public:
  SamplerCall(std::shared_ptr<pb::ReplayService::Stub> stub, const std::string& run_id,
              const BatchSamplerOptions& options)
      : ReconnectingCall(absl::StrCat("sampler of table '",
                                      options.shares.empty() ? "" : options.shares.front().table, "'")),
        stub_(std::move(stub)),
        run_id_(run_id),
        options_(options) {}

  absl::StatusOr<SampledBatch> Next(absl::Time deadline) {
    pb::SampleResponse response;
    {
      absl::MutexLock lock(&mutex_);
      const bool in_time =
          mutex_.AwaitWithDeadline(absl::Condition(this, &SamplerCall::HasBatchOrEnded), deadline);
      if (ended()) {
        return EndReason();
      }
      if (!in_time) {
        return DeadlineError("a batch");
      }
      response = std::move(received_.front());
      received_.pop_front();
      ++grants_due_;
      SendGrants();
    }
    return Decode(response);
  }

  void SetShares(const std::vector<TableShare>& shares) {
    absl::MutexLock lock(&mutex_);
    options_.shares = shares;
    shares_due_ = true;
    SendGrants();
  }

 private:
  class Stream final : public grpc::ClientBidiReactor<pb::SampleRequest, pb::SampleResponse> {
   public:
    explicit Stream(SamplerCall* call) : call_(call) {
      call_->stub_->async()->Sample(&context_, this);
      AddHold();
      StartRead(&response_);
    }
    void Cancel() { context_.TryCancel(); }
    void OnReadDone(bool ok) override {
      if (ok && call_->OnResponse(&response_)) {
        StartRead(&response_);
      } else {
        call_->StopSending();
        RemoveHold();
      }
    }
    void OnWriteDone(bool ok) override { call_->OnSent(ok); }
    void OnDone(const grpc::Status& status) override {
      const grpc::Status end = status;
      SamplerCall* const call = call_;
      call->StreamEnding();
      delete this;
      call->StreamEnded(end);
    }

   private:
    SamplerCall* const call_;
    grpc::ClientContext context_;
    pb::SampleResponse response_;
  };

  void StartStream() override ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    stream_ = new Stream(this);
    can_send_ = true;
    sending_ = false;
    shares_due_ = true;
    grants_due_ = std::max(options_.batches_in_flight, 1) - static_cast<int>(received_.size());
    SendGrants();
    stream_->StartCall();
  }

  void CancelStream() override ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { stream_->Cancel(); }

  void OnStreamEnding() override ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    stream_ = nullptr;
    can_send_ = false;
  }

  bool OnResponse(pb::SampleResponse* response) {
    absl::MutexLock lock(&mutex_);
    if (ended()) {
      return false;
    }
    StreamWorks();
    received_.push_back(std::move(*response));
    return true;
  }

  void SendGrants() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (!can_send_ || sending_ || (grants_due_ <= 0 && !shares_due_)) {
      return;
    }
    request_.Clear();
    request_.set_run_id(run_id_);
    if (shares_due_) {
      for (const TableShare& share : options_.shares) {
        pb::TableShare* message = request_.add_shares();
        message->set_table(share.table);
        message->set_rows(static_cast<uint32_t>(std::max(share.rows, 0)));
      }
      request_.mutable_may_be_empty()->Assign(options_.may_be_empty.begin(), options_.may_be_empty.end());
      request_.set_counts_as_update(options_.counts_as_update);
    }
    request_.set_batches_granted(static_cast<uint32_t>(std::max(grants_due_, 0)));
    grants_due_ = std::min(grants_due_, 0);
    shares_due_ = false;
    sending_ = true;
    stream_->StartWrite(&request_);
  }

  void OnSent(bool ok) {
    absl::MutexLock lock(&mutex_);
    sending_ = false;
    can_send_ = can_send_ && ok;
    SendGrants();
  }

  void StopSending() {
    absl::MutexLock lock(&mutex_);
    can_send_ = false;
  }

  bool HasBatchOrEnded() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return ended() || !received_.empty(); }

  const std::shared_ptr<pb::ReplayService::Stub> stub_;
  const std::string run_id_;

  BatchSamplerOptions options_ ABSL_GUARDED_BY(mutex_);
  Stream* stream_ ABSL_GUARDED_BY(mutex_) = nullptr;
  bool can_send_ ABSL_GUARDED_BY(mutex_) = false;
  bool sending_ ABSL_GUARDED_BY(mutex_) = false;
  bool shares_due_ ABSL_GUARDED_BY(mutex_) = false;
  int grants_due_ ABSL_GUARDED_BY(mutex_) = 0;
  // In the hands of gRPC while `sending_`.
  pb::SampleRequest request_;
  std::deque<pb::SampleResponse> received_ ABSL_GUARDED_BY(mutex_);
};

class ReconnectingSampler final : public BatchSampler {
 public:
  explicit ReconnectingSampler(std::unique_ptr<SamplerCall> call) : call_(std::move(call)) { call_->Open(); }
  ~ReconnectingSampler() override { call_->Shutdown(); }

  absl::StatusOr<SampledBatch> Next(absl::Time deadline) override { return call_->Next(deadline); }
  void SetShares(const std::vector<TableShare>& shares) override { call_->SetShares(shares); }
  void Close() override { call_->Close(); }

 private:
  const std::unique_ptr<SamplerCall> call_;
};

}  // namespace

std::unique_ptr<BatchSampler> MakeBatchSampler(std::shared_ptr<pb::ReplayService::Stub> stub,
                                               const std::string& run_id,
                                               const BatchSamplerOptions& options) {
  return std::make_unique<ReconnectingSampler>(
      std::make_unique<SamplerCall>(std::move(stub), run_id, options));
}

}  // namespace demorl
