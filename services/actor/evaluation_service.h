#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "demorl/evaluation/v1/evaluation_service.grpc.pb.h"
#include "services/actor/actor_metrics.h"
#include "services/actor/core/evaluation_queue.h"

namespace demorl {

// The RPC skin of evaluations. Thread-safe.
class EvaluationService final : public demorl::evaluation::v1::EvaluationService::CallbackService {
 public:
  struct Policy {
    uint64_t version = 0;
    TensorFile tensors;
  };
  // Finds the policy of a version, 0 for the current one; may block. NOT_FOUND if there is none.
  using PolicySource = std::function<absl::StatusOr<std::shared_ptr<const Policy>>(uint64_t version)>;

  struct Options {
    std::string run_id;
    std::string environment_id;
    int num_threads = 1;
    // Makes no planners where the run's actors follow the policy.
    PlannerSource planners;
  };

  // Borrows the queue and the metrics.
  EvaluationService(Options options, PolicySource policies, EvaluationQueue* queue, ActorMetrics* metrics);

  grpc::ServerUnaryReactor* Evaluate(grpc::CallbackServerContext* context,
                                     const demorl::evaluation::v1::EvaluateRequest* request,
                                     demorl::evaluation::v1::EvaluateResponse* response) override;

 private:
  absl::Status Validate(const demorl::evaluation::v1::EvaluateRequest& request) const;
  absl::StatusOr<TensorFile> LoadPolicy(const demorl::evaluation::v1::EvaluateRequest& request,
                                        demorl::evaluation::v1::EvaluateResponse* response) const;

  const Options options_;
  const PolicySource policies_;
  EvaluationQueue* const queue_;
  ActorMetrics* const metrics_;
};

}  // namespace demorl
