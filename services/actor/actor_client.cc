#include "services/actor/actor_client.h"

#include <cmath>

#include "absl/time/clock.h"
#include "common/base/status_macros.h"
#include "common/rpc/grpc_status.h"
#include "demorl/evaluation/v1/evaluation_service.grpc.pb.h"
#include "grpcpp/client_context.h"

namespace demorl {

namespace pb = ::demorl::evaluation::v1;

struct ActorClient::Impl {
  std::unique_ptr<pb::EvaluationService::Stub> stub;
  std::string run_id;
};

namespace {

// How long a stop may take to be seen.
constexpr absl::Duration kStopInterval = absl::Milliseconds(100);

ActorEvaluation Summarise(const pb::EvaluateResponse& response) {
  ActorEvaluation evaluation;
  evaluation.num_episodes = response.returns_size();
  evaluation.policy_version = response.policy_version();
  const double count = response.returns_size();
  for (int i = 0; i < response.returns_size(); ++i) {
    evaluation.mean_return += response.returns(i) / count;
    evaluation.mean_length += response.lengths(i) / count;
  }
  double variance = 0;
  for (const double episode_return : response.returns()) {
    const double deviation = episode_return - evaluation.mean_return;
    variance += deviation * deviation / count;
  }
  evaluation.stddev_return = std::sqrt(variance);
  return evaluation;
}

absl::Status CallEvaluate(pb::EvaluationService::Stub* stub, const pb::EvaluateRequest& request,
                          const StopToken& stop, grpc::ClientContext* context,
                          pb::EvaluateResponse* response) {
  StopSource done;
  grpc::Status end;
  // Its own copy: this function may return before the callback does.
  stub->async()->Evaluate(context, &request, response, [&end, done](const grpc::Status& status) mutable {
    end = status;
    done.RequestStop();
  });
  while (!done.token().WaitFor(kStopInterval)) {
    if (stop.stop_requested()) {
      context->TryCancel();
    }
  }
  return FromGrpcStatus(end);
}

}  // namespace

ActorClient::ActorClient(std::shared_ptr<grpc::Channel> channel, std::string run_id)
    : impl_(new Impl{pb::EvaluationService::NewStub(channel), std::move(run_id)}) {}

ActorClient::~ActorClient() = default;

absl::StatusOr<ActorEvaluation> ActorClient::Evaluate(const ActorEvaluationOptions& options) {
  pb::EvaluateRequest request;
  request.set_run_id(impl_->run_id);
  request.set_policy_version(options.policy_version);
  request.set_num_episodes(static_cast<uint32_t>(options.num_episodes));
  request.set_seed(options.seed);
  request.set_stochastic(options.stochastic);
  request.set_planned(options.planned);
  grpc::ClientContext context;
  if (options.timeout != absl::InfiniteDuration()) {
    context.set_deadline(absl::ToChronoTime(absl::Now() + options.timeout));
  }
  pb::EvaluateResponse response;
  RETURN_IF_ERROR(CallEvaluate(impl_->stub.get(), request, options.stop, &context, &response));
  if (response.returns_size() == 0 || response.lengths_size() != response.returns_size()) {
    return absl::InternalError("the actor answered without episodes");
  }
  return Summarise(response);
}

}  // namespace demorl
