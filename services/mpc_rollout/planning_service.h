#pragma once

#include <functional>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/concurrency/bounded_queue.h"
#include "demorl/planning/v1/planning_service.grpc.pb.h"
#include "services/mpc_rollout/plan_session.h"

namespace demorl {

// The RPC skin of online planning: one session per stream, a few threads that plan for all of them. Requests
// of a stream are answered one after the other; a stream reads its next request when the last answer is sent.
// Thread-safe.
class PlanningServiceImpl final : public demorl::planning::v1::PlanningService::CallbackService {
 public:
  struct Handshake {
    std::string run_id;
    std::string schema_hash;
  };

  // `handshake`: what a stream's first request must carry; UNAVAILABLE until the environment is known.
  // `make_session`: a session for a new stream, by number.
  PlanningServiceImpl(
      std::function<absl::StatusOr<Handshake>()> handshake,
      std::function<absl::StatusOr<std::unique_ptr<PlanSession>>(uint64_t number)> make_session,
      int num_threads);
  ~PlanningServiceImpl() override;

  grpc::ServerBidiReactor<demorl::planning::v1::PlanRequest, demorl::planning::v1::PlanResponse>* Plan(
      grpc::CallbackServerContext* context) override;

  // Ends all streams and the threads; requests that were taken are answered. Idempotent.
  void Close();

 private:
  class PlanReactor;

  void PlanForStreams();

  const std::function<absl::StatusOr<Handshake>()> handshake_;
  const std::function<absl::StatusOr<std::unique_ptr<PlanSession>>(uint64_t)> make_session_;
  BoundedQueue<PlanReactor*> requests_;
  absl::Mutex mutex_;
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
  uint64_t num_streams_ ABSL_GUARDED_BY(mutex_) = 0;
  std::set<PlanReactor*> streams_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::thread> threads_;
};

}  // namespace demorl
