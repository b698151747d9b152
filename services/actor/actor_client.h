#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/concurrency/stop_token.h"
#include "grpcpp/channel.h"

namespace demorl {

struct ActorEvaluationOptions {
  int num_episodes = 5;
  uint64_t seed = 0;
  // A version in the snapshot store; 0 for the actor's current policy.
  uint64_t policy_version = 0;
  bool stochastic = false;
  // By online plans instead of a policy; only where the run's actors act so.
  bool planned = false;
  absl::Duration timeout = absl::Minutes(10);
  // Gives the evaluation up: CANCELLED.
  StopToken stop;
};

struct ActorEvaluation {
  double mean_return = 0;
  double stddev_return = 0;  // population
  double mean_length = 0;
  int num_episodes = 0;
  uint64_t policy_version = 0;
};

// The evaluation service of an actor, ours or the Python one. Thread-safe.
class ActorClient {
 public:
  ActorClient(std::shared_ptr<grpc::Channel> channel, std::string run_id);
  ~ActorClient();

  // Runs whole episodes apart from training; blocks until all are done. NOT_FOUND: no such policy version.
  // RESOURCE_EXHAUSTED: too many evaluations wait already.
  absl::StatusOr<ActorEvaluation> Evaluate(const ActorEvaluationOptions& options);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace demorl
