#include "services/actor/evaluation_service.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/rpc/grpc_status.h"

namespace demorl {
namespace {

using demorl::evaluation::v1::EvaluateRequest;
using demorl::evaluation::v1::EvaluateResponse;

constexpr uint32_t kMaxEpisodes = 10'000;
constexpr uint32_t kMaxEpisodeSteps = 1'000'000'000;

void FillResponse(const EvaluationResult& result, EvaluateResponse* response) {
  response->mutable_returns()->Add(result.returns.begin(), result.returns.end());
  response->mutable_lengths()->Add(result.lengths.begin(), result.lengths.end());
  for (const bool terminated : result.terminated) {
    response->add_terminated(terminated);
  }
  response->set_observation_count(result.observation_count);
  response->mutable_observation_sum()->Add(result.observation_sum.begin(), result.observation_sum.end());
  response->mutable_observation_sum_squares()->Add(result.observation_sum_squares.begin(),
                                                   result.observation_sum_squares.end());
}

}  // namespace

EvaluationService::EvaluationService(Options options, PolicySource policies, EvaluationQueue* queue,
                                     ActorMetrics* metrics)
    : options_(std::move(options)), policies_(std::move(policies)), queue_(queue), metrics_(metrics) {}

absl::Status EvaluationService::Validate(const EvaluateRequest& request) const {
  if (request.run_id() != options_.run_id) {
    return absl::FailedPreconditionError(
        absl::StrCat("the request is for run '", request.run_id(), "', this is run '", options_.run_id, "'"));
  }
  if (request.num_episodes() < 1 || request.num_episodes() > kMaxEpisodes) {
    return absl::InvalidArgumentError(
        absl::StrCat("num_episodes is ", request.num_episodes(), ", 1 to ", kMaxEpisodes, " are allowed"));
  }
  if (request.planned() && !options_.planners.make_planner) {
    return absl::FailedPreconditionError(
        "an evaluation by plans, but the actors of this run follow the policy; planner.sink is not "
        "PLAN_SINK_ACT or PLAN_SINK_BOTH");
  }
  if (request.max_episode_steps() > kMaxEpisodeSteps) {
    return absl::InvalidArgumentError(absl::StrCat("max_episode_steps is ", request.max_episode_steps(),
                                                   ", at most ", kMaxEpisodeSteps, " is allowed"));
  }
  return absl::OkStatus();
}

absl::StatusOr<TensorFile> EvaluationService::LoadPolicy(const EvaluateRequest& request,
                                                         EvaluateResponse* response) const {
  if (request.planned()) {
    return TensorFile();
  }
  if (request.policy_case() == EvaluateRequest::kPolicyPayload) {
    return DecodeSafetensors(request.policy_payload());
  }
  ASSIGN_OR_RETURN(const std::shared_ptr<const Policy> policy, policies_(request.policy_version()));
  response->set_policy_version(policy->version);
  return policy->tensors;
}

grpc::ServerUnaryReactor* EvaluationService::Evaluate(grpc::CallbackServerContext* context,
                                                      const EvaluateRequest* request,
                                                      EvaluateResponse* response) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  absl::Status status = Validate(*request);
  if (status.ok()) {
    // The call, and with it request and response, lives until Finish.
    EvaluationQueue::Job job;
    job.options.environment_id = options_.environment_id;
    job.options.num_episodes = static_cast<int>(request->num_episodes());
    job.options.seed = request->seed();
    job.options.max_episode_steps = static_cast<int>(request->max_episode_steps());
    job.options.stochastic = request->stochastic();
    if (request->planned()) {
      job.options.planners = options_.planners;
    }
    job.options.num_threads = options_.num_threads;
    job.options.cancelled = [context] { return context->IsCancelled(); };
    job.load_policy = [this, request, response] { return LoadPolicy(*request, response); };
    job.done = [this, reactor, response](absl::StatusOr<EvaluationResult> result) {
      if (result.ok()) {
        FillResponse(*result, response);
        metrics_->evaluations.Increment();
        metrics_->evaluation_return.Set(result->mean_return());
      }
      reactor->Finish(ToGrpcStatus(result.status()));
    };
    status = queue_->Submit(std::move(job));
  }
  if (!status.ok()) {
    reactor->Finish(ToGrpcStatus(status));
  }
  return reactor;
}

}  // namespace demorl
