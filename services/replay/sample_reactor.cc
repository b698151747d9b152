#include "services/replay/sample_reactor.h"

#include <algorithm>

#include "common/base/status_macros.h"
#include "common/rpc/grpc_status.h"
#include "services/replay/replay_messages.h"

namespace demorl {
namespace {

namespace pb = ::demorl::replay::v1;

// Batches a sampler may have granted and not received.
constexpr int64_t kMaxCredits = 1 << 20;

}  // namespace

SampleReactor* SampleReactor::Start(ReplayCore* core, ChangeHub* hub, ObjectAccess access) {
  std::shared_ptr<SampleReactor> reactor(new SampleReactor(core, hub, std::move(access)));
  reactor->self_ = reactor;
  hub->Add(reactor);
  reactor->StartRead(&reactor->request_);
  return reactor.get();
}

void SampleReactor::OnReadDone(bool ok) {
  absl::MutexLock lock(&mutex_);
  if (finish_.has_value()) {
    return;
  }
  if (!ok) {
    FinishWith(absl::OkStatus());  // the sampler wants no more
    return;
  }
  const absl::Status taken = Take(request_);
  if (!taken.ok()) {
    FinishWith(taken);
    return;
  }
  DrawIfWanted();
  if (!finish_.has_value()) {
    StartRead(&request_);
  }
}

absl::Status SampleReactor::Take(const pb::SampleRequest& request) {
  RETURN_IF_ERROR(core_->CheckRun(request.run_id()));
  if (request.shares().empty() && spec_.shares.empty()) {
    return absl::InvalidArgumentError("the first sample request has no shares; want at least one table");
  }
  for (const pb::TableShare& share : request.shares()) {
    RETURN_IF_ERROR(access_.Check(share.table()));
  }
  if (!request.shares().empty()) {
    SetWaiting(false);
    spec_ = {.may_be_empty = {request.may_be_empty().begin(), request.may_be_empty().end()},
             .counts_as_update = request.counts_as_update()};
    for (const pb::TableShare& share : request.shares()) {
      spec_.shares.push_back(
          {.table = share.table(), .rows = static_cast<int>(std::min<uint32_t>(share.rows(), 1u << 24))});
    }
  }
  credits_ = std::min(credits_ + static_cast<int64_t>(request.batches_granted()), kMaxCredits);
  return absl::OkStatus();
}

void SampleReactor::DrawIfWanted() {
  if (writing_ || credits_ == 0 || finish_.has_value()) {
    return;
  }
  const absl::StatusOr<DrawnBatch> drawn = core_->TrySample(spec_);
  if (absl::IsUnavailable(drawn.status())) {
    SetWaiting(true);
    return;
  }
  if (!drawn.ok()) {
    FinishWith(absl::IsCancelled(drawn.status()) ? absl::UnavailableError("replay is draining")
                                                 : drawn.status());
    return;
  }
  response_ = EncodeBatch(*drawn);
  response_.set_rate_limited(!waiting_for_.empty());
  SetWaiting(false);
  --credits_;
  writing_ = true;
  StartWrite(&response_);
}

void SampleReactor::SetWaiting(bool waiting) {
  if (waiting == !waiting_for_.empty()) {
    return;
  }
  if (waiting) {
    waiting_for_ = spec_.shares.front().table;
    core_->AddWaitingSampler(waiting_for_, 1);
  } else {
    core_->AddWaitingSampler(waiting_for_, -1);
    waiting_for_.clear();
  }
}

void SampleReactor::OnWriteDone(bool ok) {
  absl::MutexLock lock(&mutex_);
  writing_ = false;
  if (finish_.has_value() || !ok) {
    FinishWith(absl::CancelledError("the stream broke"));
    return;
  }
  DrawIfWanted();
}

bool SampleReactor::OnChange() {
  absl::MutexLock lock(&mutex_);
  if (hub_->ended()) {
    FinishWith(absl::UnavailableError("replay is draining"));
    return false;
  }
  DrawIfWanted();
  return false;
}

void SampleReactor::FinishWith(const absl::Status& status) {
  if (!finish_.has_value()) {
    finish_ = status;
  }
  if (!finished_ && !writing_) {
    finished_ = true;
    Finish(ToGrpcStatus(*finish_));
  }
}

void SampleReactor::OnCancel() {
  absl::MutexLock lock(&mutex_);
  FinishWith(absl::CancelledError("the sampler has gone"));
}

void SampleReactor::OnDone() {
  const std::shared_ptr<SampleReactor> self = std::move(self_);
  hub_->Remove(this);
  absl::MutexLock lock(&mutex_);
  SetWaiting(false);
}

}  // namespace demorl
