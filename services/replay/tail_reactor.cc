#include "services/replay/tail_reactor.h"

#include <algorithm>

#include "common/rpc/grpc_status.h"
#include "services/replay/replay_messages.h"

namespace demorl {
namespace {

namespace pb = ::demorl::replay::v1;

constexpr int64_t kDefaultMaxRows = 1024;
constexpr int64_t kLargestMaxRows = 4096;

}  // namespace

TailReactor::TailReactor(ReplayCore* core, ChangeHub* hub, const pb::TailRequest& request)
    : core_(core),
      hub_(hub),
      table_(request.table()),
      max_rows_(request.max_rows() == 0 ? kDefaultMaxRows
                                        : std::min<int64_t>(request.max_rows(), kLargestMaxRows)),
      position_(request.position()) {}

TailReactor* TailReactor::Start(ReplayCore* core, ChangeHub* hub, const pb::TailRequest& request,
                                const ObjectAccess& access) {
  std::shared_ptr<TailReactor> reactor(new TailReactor(core, hub, request));
  reactor->self_ = reactor;
  absl::Status allowed = core->CheckRun(request.run_id());
  allowed.Update(access.Check(request.table()));
  if (!allowed.ok()) {
    absl::MutexLock lock(&reactor->mutex_);
    reactor->FinishWith(allowed);
  }
  hub->Add(reactor);
  return reactor.get();
}

void TailReactor::SendIfAny() {
  if (writing_ || finish_.has_value()) {
    return;
  }
  const absl::StatusOr<std::optional<RowsRead>> rows = core_->ReadRows(table_, position_, max_rows_);
  if (!rows.ok()) {
    FinishWith(absl::IsCancelled(rows.status()) ? absl::UnavailableError("replay is draining")
                                                : rows.status());
    return;
  }
  if (!rows->has_value()) {
    return;
  }
  response_ = EncodeRows(**rows);
  position_ = (*rows)->next_position;
  writing_ = true;
  StartWrite(&response_);
}

void TailReactor::OnWriteDone(bool ok) {
  absl::MutexLock lock(&mutex_);
  writing_ = false;
  if (finish_.has_value() || !ok) {
    FinishWith(absl::CancelledError("the stream broke"));
    return;
  }
  SendIfAny();
}

bool TailReactor::OnChange() {
  absl::MutexLock lock(&mutex_);
  if (hub_->ended()) {
    FinishWith(absl::UnavailableError("replay is draining"));
    return false;
  }
  SendIfAny();
  return false;
}

void TailReactor::FinishWith(const absl::Status& status) {
  if (!finish_.has_value()) {
    finish_ = status;
  }
  if (!finished_ && !writing_) {
    finished_ = true;
    Finish(ToGrpcStatus(*finish_));
  }
}

void TailReactor::OnCancel() {
  absl::MutexLock lock(&mutex_);
  FinishWith(absl::CancelledError("the reader has gone"));
}

void TailReactor::OnDone() {
  const std::shared_ptr<TailReactor> self = std::move(self_);
  hub_->Remove(this);
}

}  // namespace demorl
