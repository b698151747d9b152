#include "services/replay/append_reactor.h"

#include "absl/strings/str_cat.h"
#include "common/base/clock.h"
#include "common/base/status_macros.h"
#include "common/rpc/grpc_status.h"
#include "common/tensor/transition_codec.h"
#include "services/replay/replay_messages.h"

namespace demorl {
namespace {

namespace pb = ::demorl::replay::v1;

// Between two answers that only tell of the rate limit, per stream of the server: together they are no more
// than 20,000 a second.
constexpr absl::Duration kLimitNewsInterval = absl::Microseconds(50);

// A writer that may collect this many rows more does not wait for such news, which then comes that many times
// later.
constexpr int64_t kManyRows = 4096;
constexpr int kLaterBy = 20;

}  // namespace

AppendReactor* AppendReactor::Start(ReplayCore* core, ChangeHub* hub, int64_t window_bytes,
                                    ObjectAccess access) {
  std::shared_ptr<AppendReactor> reactor(new AppendReactor(core, hub, window_bytes, std::move(access)));
  reactor->self_ = reactor;
  hub->Add(reactor);
  reactor->StartRead(&reactor->request_);
  return reactor.get();
}

void AppendReactor::OnReadDone(bool ok) {
  absl::MutexLock lock(&mutex_);
  if (finish_.has_value()) {
    return;
  }
  if (!ok) {
    FinishWith(absl::OkStatus());  // the writer is done
    return;
  }
  const absl::Status taken = Take(request_);
  if (!taken.ok()) {
    FinishWith(taken);
    return;
  }
  if (!Answer(request_.has_open())) {
    hub_->Signal();
  }
  if (!finish_.has_value()) {
    StartRead(&request_);
  }
}

absl::Status AppendReactor::Take(const pb::AppendRequest& request) {
  switch (request.request_case()) {
    case pb::AppendRequest::kOpen:
      return Open(request.open());
    case pb::AppendRequest::kChunk:
      return TakeChunk(request.chunk());
    default:
      return absl::InvalidArgumentError("an append request without content; want open or chunk");
  }
}

absl::Status AppendReactor::Open(const pb::AppendOpen& open) {
  if (writer_.has_value()) {
    return absl::InvalidArgumentError("a second open on one stream; want chunks");
  }
  RETURN_IF_ERROR(access_.Check(open.table()));
  RETURN_IF_ERROR(core_->CheckRun(open.run_id()));
  absl::StatusOr<EnvironmentSpec> environment = DecodeEnvironmentSpec(open.environment());
  if (!environment.ok()) {
    return absl::InvalidArgumentError(absl::StrCat("open.environment: ", environment.status().message()));
  }
  ASSIGN_OR_RETURN(writer_, core_->OpenWriter({.table = open.table(),
                                               .writer_id = open.writer_id(),
                                               .writer_epoch = open.writer_epoch(),
                                               .environment = *environment,
                                               .simulated = open.simulated()}));
  quarantined_before_ = core_->Position(*writer_).rows_quarantined;
  return absl::OkStatus();
}

absl::Status AppendReactor::TakeChunk(const pb::SequencedChunk& chunk) {
  if (!writer_.has_value()) {
    return absl::InvalidArgumentError("a chunk before open; want open in the first request");
  }
  int64_t malformed_rows = 0;
  const TransitionChunk decoded = DecodeChunkLeniently(chunk.chunk(), &malformed_rows);
  RETURN_IF_ERROR(core_->Append(*writer_, chunk.sequence(), decoded, malformed_rows));
  bytes_received_ += static_cast<int64_t>(chunk.chunk().ByteSizeLong());
  return absl::OkStatus();
}

bool AppendReactor::Answer(bool always) {
  answer_due_ = answer_due_ || always;
  if (writing_ || finished_ || !writer_.has_value()) {
    return true;
  }
  const WriterPosition position = core_->Position(*writer_);
  if (position.fenced) {
    FinishWith(absl::AbortedError("a newer epoch of this writer has fenced it"));
    return true;
  }
  const bool accepted = position.accepted_sequence != answered_.accepted_sequence ||
                        position.rows_quarantined != answered_.rows_quarantined;
  const bool news = answer_due_ || position.durable_sequence != answered_.durable_sequence ||
                    (accepted && !position.durable_soon) ||
                    bytes_received_ - bytes_answered_ > window_bytes_ / 4;
  const absl::Duration now = RealClock::Get().Now();
  if (!news) {
    if (position.rows_allowed == answered_.rows_allowed) {
      return true;
    }
    const bool waits = answered_.rows_allowed - answered_.rows_inserted < kManyRows;
    if (now - answered_at_ < kLimitNewsInterval * hub_->size() * (waits ? 1 : kLaterBy)) {
      return false;
    }
  }
  answered_ = position;
  answered_at_ = now;
  bytes_answered_ = bytes_received_;
  response_ = EncodePosition(position);
  response_.set_bytes_granted(static_cast<uint64_t>(bytes_received_ + window_bytes_));
  response_.set_rows_quarantined(static_cast<uint64_t>(position.rows_quarantined - quarantined_before_));
  answer_due_ = false;
  writing_ = true;
  StartWrite(&response_);
  return true;
}

void AppendReactor::OnWriteDone(bool ok) {
  absl::MutexLock lock(&mutex_);
  writing_ = false;
  if (finish_.has_value() || !ok) {
    FinishWith(absl::CancelledError("the stream broke"));
    return;
  }
  if (!Answer(false)) {
    hub_->Signal();
  }
}

bool AppendReactor::OnChange() {
  absl::MutexLock lock(&mutex_);
  if (finish_.has_value()) {
    return false;
  }
  const bool told = Answer(false);
  if (hub_->ended()) {
    FinishWith(absl::UnavailableError("replay is draining"));
    return false;
  }
  return !told;
}

void AppendReactor::FinishWith(const absl::Status& status) {
  if (!finish_.has_value()) {
    finish_ = status;
  }
  if (!finished_ && !writing_) {
    finished_ = true;
    Finish(ToGrpcStatus(*finish_));
  }
}

void AppendReactor::OnCancel() {
  absl::MutexLock lock(&mutex_);
  FinishWith(absl::CancelledError("the writer has gone"));
}

void AppendReactor::OnDone() {
  const std::shared_ptr<AppendReactor> self = std::move(self_);
  hub_->Remove(this);
  absl::MutexLock lock(&mutex_);
  if (writer_.has_value()) {
    core_->CloseWriter(*writer_);
  }
}

}  // namespace demorl
