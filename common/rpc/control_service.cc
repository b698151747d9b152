#include "common/rpc/control_service.h"

#include <pthread.h>

#include <thread>
#include <utility>

#include "absl/time/clock.h"
#include "common/concurrency/bounded_queue.h"
#include "common/rpc/grpc_status.h"
#include "common/rpc/revision.h"
#include "demorl/control/v1/control_service.grpc.pb.h"

namespace demorl {
namespace {

namespace control = ::demorl::control::v1;
using ::grpc::CallbackServerContext;
using ::grpc::ServerUnaryReactor;

constexpr size_t kMaxQueuedCalls = 16;

control::ServiceState ToProto(ComponentState state) {
  switch (state) {
    case ComponentState::kStarting:
      return control::SERVICE_STATE_STARTING;
    case ComponentState::kRunning:
      return control::SERVICE_STATE_RUNNING;
    case ComponentState::kPaused:
      return control::SERVICE_STATE_PAUSED;
    case ComponentState::kDraining:
      return control::SERVICE_STATE_DRAINING;
    case ComponentState::kUnhealthy:
      return control::SERVICE_STATE_UNHEALTHY;
  }
  return control::SERVICE_STATE_UNSPECIFIED;
}

class ControlServiceImpl final : public ControlService, public control::ControlService::CallbackService {
 public:
  ControlServiceImpl(ServiceComponent* component, std::string run_id, std::function<void()> on_drain)
      : component_(*component),
        run_id_(std::move(run_id)),
        on_drain_(std::move(on_drain)),
        start_time_(absl::Now()),
        queue_(kMaxQueuedCalls),
        worker_([this] { Work(); }) {}

  ~ControlServiceImpl() override {
    Close();
    worker_.join();
  }

  grpc::Service* rpc_service() override { return this; }
  void Close() override { queue_.Close(); }

  ServerUnaryReactor* GetStatus(CallbackServerContext* context, const control::GetStatusRequest*,
                                control::GetStatusResponse* response) override {
    const ComponentStatus status = component_.Status();
    response->set_service(std::string(component_.name()));
    response->set_run_id(run_id_);
    response->set_state(ToProto(status.state));
    response->set_detail(status.detail);
    response->mutable_figures()->insert(status.figures.begin(), status.figures.end());
    response->set_uptime_seconds(absl::ToDoubleSeconds(absl::Now() - start_time_));
    response->set_revision(Revision());
    return Finish(context, absl::OkStatus());
  }

  ServerUnaryReactor* Pause(CallbackServerContext* context, const control::PauseRequest*,
                            control::PauseResponse*) override {
    return Enqueue(context, [this] { return component_.Pause(); });
  }

  ServerUnaryReactor* Resume(CallbackServerContext* context, const control::ResumeRequest*,
                             control::ResumeResponse*) override {
    return Enqueue(context, [this] { return component_.Resume(); });
  }

  ServerUnaryReactor* Checkpoint(CallbackServerContext* context, const control::CheckpointRequest*,
                                 control::CheckpointResponse* response) override {
    return Enqueue(context, [this, response] {
      absl::StatusOr<std::string> path = component_.Checkpoint();
      if (path.ok()) {
        response->set_path(*std::move(path));
      }
      return path.status();
    });
  }

  ServerUnaryReactor* Drain(CallbackServerContext* context, const control::DrainRequest*,
                            control::DrainResponse*) override {
    // The answer first: it races with the end of the server otherwise.
    ServerUnaryReactor* reactor = Finish(context, absl::OkStatus());
    on_drain_();
    return reactor;
  }

 private:
  static ServerUnaryReactor* Finish(CallbackServerContext* context, const absl::Status& status) {
    ServerUnaryReactor* reactor = context->DefaultReactor();
    reactor->Finish(ToGrpcStatus(status));
    return reactor;
  }

  ServerUnaryReactor* Enqueue(CallbackServerContext* context, std::function<absl::Status()> action) {
    ServerUnaryReactor* reactor = context->DefaultReactor();
    std::function<void()> call = [reactor, action = std::move(action)] {
      reactor->Finish(ToGrpcStatus(action()));
    };
    if (!queue_.TryPush(call)) {
      reactor->Finish(grpc::Status(grpc::StatusCode::UNAVAILABLE,
                                   "the service is draining or has too many "
                                   "control calls queued"));
    }
    return reactor;
  }

  void Work() {
    pthread_setname_np(pthread_self(), "control");
    for (auto call = queue_.Pop(); call.ok(); call = queue_.Pop()) {
      (*call)();
    }
  }

  ServiceComponent& component_;
  const std::string run_id_;
  const std::function<void()> on_drain_;
  const absl::Time start_time_;
  BoundedQueue<std::function<void()>> queue_;
  std::thread worker_;
};

}  // namespace

std::unique_ptr<ControlService> ControlService::Create(ServiceComponent* component, std::string run_id,
                                                       std::function<void()> on_drain) {
  return std::make_unique<ControlServiceImpl>(component, std::move(run_id), std::move(on_drain));
}

}  // namespace demorl
