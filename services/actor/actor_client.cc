#include "services/actor/actor_client.h"

#include <cmath>

#include "absl/time/clock.h"
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
  grpc::ClientContext context;
  context.set_deadline(absl::ToChronoTime(absl::Now() + options.timeout));
  pb::EvaluateResponse response;
  const absl::Status status = FromGrpcStatus(impl_->stub->Evaluate(&context, request, &response));
  if (!status.ok()) {
    return status;
  }
  if (response.returns_size() == 0 || response.lengths_size() != response.returns_size()) {
    return absl::InternalError("the actor answered without episodes");
  }
  return Summarise(response);
}

}  // namespace demorl
