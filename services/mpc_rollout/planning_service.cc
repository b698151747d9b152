#include "services/mpc_rollout/planning_service.h"

#include <pthread.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/rpc/grpc_status.h"
#include "services/mpc_rollout/mpc_rollout_client.h"

namespace demorl {
namespace {

using ::demorl::planning::v1::PlanRequest;
using ::demorl::planning::v1::PlanResponse;

}  // namespace

// At any time one of these is in flight: a read, a request with the planning threads, a write. Whoever ends
// the last one finishes the stream, so that it cannot be deleted under a thread that plans for it.
class PlanningServiceImpl::PlanReactor final : public grpc::ServerBidiReactor<PlanRequest, PlanResponse> {
 public:
  PlanReactor(PlanningServiceImpl& service, grpc::CallbackServerContext* context, uint64_t number)
      : service_(service), context_(context), number_(number) {}

  void Begin() { StartRead(&request_); }

  void OnReadDone(bool ok) override {
    if (!ok) {
      Finish(grpc::Status::OK);
      return;
    }
    PlanReactor* self = this;
    if (!service_.requests_.TryPush(self)) {
      Finish(ToGrpcStatus(absl::UnavailableError("the planner is draining or overloaded")));
    }
  }

  void OnWriteDone(bool ok) override {
    if (ok) {
      StartRead(&request_);
    } else {
      Finish(grpc::Status::OK);
    }
  }

  void OnDone() override {
    {
      absl::MutexLock lock(&service_.mutex_);
      service_.streams_.erase(this);
    }
    delete this;
  }

  // On a planning thread.
  void PlanAndWrite() {
    if (context_->IsCancelled()) {  // while it waited its turn
      Finish(grpc::Status::CANCELLED);
      return;
    }
    absl::StatusOr<PlanResponse> response = Answer();
    if (!response.ok()) {
      Finish(ToGrpcStatus(response.status()));
      return;
    }
    response_ = *std::move(response);
    StartWrite(&response_);
  }

  void Cancel() { context_->TryCancel(); }

 private:
  absl::StatusOr<PlanResponse> Answer() {
    if (session_ == nullptr) {
      RETURN_IF_ERROR(CheckHandshake());
      ASSIGN_OR_RETURN(session_, service_.make_session_(number_));
    }
    return session_->Answer(request_);
  }

  absl::Status CheckHandshake() const {
    ASSIGN_OR_RETURN(const Handshake expected, service_.handshake_());
    if (request_.run_id() != expected.run_id) {
      return absl::FailedPreconditionError(absl::StrCat(
          "run_id \"", request_.run_id(), "\"; this planner serves run \"", expected.run_id, "\""));
    }
    if (request_.schema_hash() != expected.schema_hash) {
      return absl::FailedPreconditionError(
          absl::StrCat("schema ", request_.schema_hash(), "; this planner plans for ", expected.schema_hash));
    }
    return absl::OkStatus();
  }

  PlanningServiceImpl& service_;
  grpc::CallbackServerContext* const context_;
  const uint64_t number_;
  std::unique_ptr<PlanSession> session_;
  PlanRequest request_;
  PlanResponse response_;
};

PlanningServiceImpl::PlanningServiceImpl(
    std::function<absl::StatusOr<Handshake>()> handshake,
    std::function<absl::StatusOr<std::unique_ptr<PlanSession>>(uint64_t number)> make_session,
    int num_threads)
    : handshake_(std::move(handshake)), make_session_(std::move(make_session)), requests_(kMaxPlanStreams) {
  for (int i = 0; i < num_threads; ++i) {
    threads_.emplace_back([this] {
      pthread_setname_np(pthread_self(), "plan_online");
      PlanForStreams();
    });
  }
}

PlanningServiceImpl::~PlanningServiceImpl() { Close(); }

grpc::ServerBidiReactor<PlanRequest, PlanResponse>* PlanningServiceImpl::Plan(
    grpc::CallbackServerContext* context) {
  absl::ReleasableMutexLock lock(&mutex_);
  auto* reactor = new PlanReactor(*this, context, num_streams_++);
  const bool taken = !closed_ && streams_.size() < kMaxPlanStreams;
  const bool closed = closed_;
  if (taken) {
    streams_.insert(reactor);
  }
  lock.Release();
  if (taken) {
    reactor->Begin();
  } else {
    reactor->Finish(ToGrpcStatus(closed ? absl::UnavailableError("the planner is draining")
                                        : absl::ResourceExhaustedError(absl::StrCat(
                                              "more than ", kMaxPlanStreams, " streams of plans"))));
  }
  return reactor;
}

void PlanningServiceImpl::PlanForStreams() {
  while (true) {
    absl::StatusOr<PlanReactor*> reactor = requests_.Pop();
    if (!reactor.ok()) {
      return;
    }
    (*reactor)->PlanAndWrite();
  }
}

void PlanningServiceImpl::Close() {
  requests_.Close();
  for (std::thread& thread : threads_) {
    if (thread.joinable()) {
      thread.join();
    }
  }
  absl::MutexLock lock(&mutex_);
  closed_ = true;
  for (PlanReactor* stream : streams_) {
    stream->Cancel();
  }
}

}  // namespace demorl
