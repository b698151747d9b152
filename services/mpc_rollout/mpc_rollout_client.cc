#include "services/mpc_rollout/mpc_rollout_client.h"

#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "common/base/status_macros.h"
#include "common/rpc/grpc_status.h"
#include "common/tensor/transition_codec.h"
#include "demorl/planning/v1/planning_service.grpc.pb.h"

namespace demorl {
namespace {

namespace pb = ::demorl::planning::v1;

constexpr absl::Duration kFinishTimeout = absl::Seconds(5);
// Of a plan whose stream had worked before.
constexpr int kMoreAttempts = 3;
constexpr absl::Duration kAttemptInterval = absl::Milliseconds(50);

// What the planners of one client share. One mutex for all their streams, so that closing wakes all of them.
struct Connection {
  std::unique_ptr<pb::PlanningService::Stub> stub;
  MpcRolloutClientOptions options;
  absl::Mutex mutex;
  bool closed ABSL_GUARDED_BY(mutex) = false;
};

// One call of Plan, with at most one request under way. It ends on its owner's thread: one of gRPC's own must
// not be the one to let go of a channel.
class PlanCall final : public grpc::ClientBidiReactor<pb::PlanRequest, pb::PlanResponse> {
 public:
  // Borrows the connection.
  explicit PlanCall(Connection& connection) : connection_(connection) {
    connection_.stub->async()->Plan(&context_, this);
    AddHold();  // reads and writes are started from outside of the reactions
    StartCall();
  }

  // Blocks until gRPC is done with the call.
  ~PlanCall() override {
    context_.TryCancel();
    if (!finished_) {
      Finish().IgnoreError();
    }
  }

  void Send(pb::PlanRequest request) {
    {
      absl::MutexLock lock(&connection_.mutex);
      written_ = read_ = false;
    }
    request_ = std::move(request);
    StartWrite(&request_);
    StartRead(&response_);
  }

  // Null when the stream has broken: Finish tells why.
  absl::StatusOr<const pb::PlanResponse*> Receive(absl::Time deadline) {
    absl::MutexLock lock(&connection_.mutex);
    const bool in_time =
        connection_.mutex.AwaitWithDeadline(absl::Condition(this, &PlanCall::Settled), deadline);
    if (connection_.closed) {
      return absl::CancelledError("the planning client is closed");
    }
    if (!in_time) {
      return absl::DeadlineExceededError(
          absl::StrCat("no plan within ", absl::FormatDuration(connection_.options.plan_timeout)));
    }
    return broken_ ? nullptr : &response_;
  }

  // Of a stream that has broken: its status, once.
  absl::Status Finish() {
    finished_ = true;
    RemoveHold();
    absl::MutexLock lock(&connection_.mutex);
    // A stream also breaks by an answer that cannot be read; the planner knows nothing of that.
    if (!connection_.mutex.AwaitWithTimeout(absl::Condition(&done_), kFinishTimeout)) {
      context_.TryCancel();
      connection_.mutex.Await(absl::Condition(&done_));
    }
    return end_.ok() ? absl::UnavailableError("the planner ended the stream") : FromGrpcStatus(end_);
  }

  void OnWriteDone(bool ok) override { Settle(ok, &written_); }
  void OnReadDone(bool ok) override { Settle(ok, &read_); }
  void OnDone(const grpc::Status& status) override {
    absl::MutexLock lock(&connection_.mutex);
    end_ = status;
    done_ = true;
  }

 private:
  void Settle(bool ok, bool* part) {
    absl::MutexLock lock(&connection_.mutex);
    *part = true;
    broken_ = broken_ || !ok;
  }

  // Both reactions have come: the next request may be sent.
  bool Settled() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(connection_.mutex) {
    return connection_.closed || (written_ && read_);
  }

  Connection& connection_;
  grpc::ClientContext context_;
  pb::PlanRequest request_;
  pb::PlanResponse response_;
  bool finished_ = false;
  bool written_ ABSL_GUARDED_BY(connection_.mutex) = false;
  bool read_ ABSL_GUARDED_BY(connection_.mutex) = false;
  bool broken_ ABSL_GUARDED_BY(connection_.mutex) = false;
  bool done_ ABSL_GUARDED_BY(connection_.mutex) = false;
  grpc::Status end_ ABSL_GUARDED_BY(connection_.mutex);
};

class StreamPlanner final : public OnlinePlanner {
 public:
  explicit StreamPlanner(std::shared_ptr<Connection> connection) : connection_(std::move(connection)) {}

  // A stream that has worked ends when its connection has become too old, or its planner goes: others may be
  // there.
  absl::StatusOr<PlannedAction> Plan(const PlanningState& state) override {
    const absl::Time deadline = absl::Now() + connection_->options.plan_timeout;
    const bool worked = call_ != nullptr;
    absl::StatusOr<PlannedAction> planned = PlanOnce(state, deadline);
    for (int again = 0; worked && again < kMoreAttempts && WasCut(planned.status()); ++again) {
      absl::SleepFor(again * kAttemptInterval);  // until its connection is known to be gone
      planned = PlanOnce(state, deadline);
    }
    return planned;
  }

 private:
  // By the planner, or on the way to it.
  bool WasCut(const absl::Status& status) const {
    absl::MutexLock lock(&connection_->mutex);
    return !connection_->closed && (absl::IsUnavailable(status) || absl::IsCancelled(status));
  }

  absl::StatusOr<PlannedAction> PlanOnce(const PlanningState& state, absl::Time deadline) {
    if (call_ == nullptr) {
      call_ = std::make_unique<PlanCall>(*connection_);
    }
    call_->Send(MakeRequest(state));
    const absl::StatusOr<const pb::PlanResponse*> response = call_->Receive(deadline);
    if (!response.ok() || *response == nullptr) {
      const std::unique_ptr<PlanCall> broken = std::move(call_);
      return response.ok() ? broken->Finish() : response.status();
    }
    return Decode(**response);
  }

  pb::PlanRequest MakeRequest(const PlanningState& state) const {
    pb::PlanRequest request;
    request.set_run_id(connection_->options.run_id);
    request.set_schema_hash(connection_->options.schema_hash);
    request.set_observation(EncodeFloats({state.observation.begin(), state.observation.end()}));
    request.set_first_step(state.first_step);
    request.set_simulator_state(std::string(state.simulator_state));
    return request;
  }

  static absl::StatusOr<PlannedAction> Decode(const pb::PlanResponse& response) {
    PlannedAction planned{.policy_version = response.policy_version(), .fallback = response.fallback()};
    ASSIGN_OR_RETURN(planned.action, DecodeFloats(response.actions()));
    return planned;
  }

  const std::shared_ptr<Connection> connection_;
  std::unique_ptr<PlanCall> call_;
};

}  // namespace

struct MpcRolloutClient::Impl {
  std::shared_ptr<Connection> connection = std::make_shared<Connection>();
};

MpcRolloutClient::MpcRolloutClient(std::shared_ptr<grpc::Channel> channel, MpcRolloutClientOptions options)
    : impl_(std::make_unique<Impl>()) {
  impl_->connection->stub = pb::PlanningService::NewStub(channel);
  impl_->connection->options = std::move(options);
}

MpcRolloutClient::~MpcRolloutClient() { Close(); }

std::unique_ptr<OnlinePlanner> MpcRolloutClient::OpenPlanner() {
  return std::make_unique<StreamPlanner>(impl_->connection);
}

void MpcRolloutClient::Close() {
  absl::MutexLock lock(&impl_->connection->mutex);
  impl_->connection->closed = true;
}

}  // namespace demorl
