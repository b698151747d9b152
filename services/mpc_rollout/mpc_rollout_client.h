#pragma once

#include <memory>
#include <string>

#include "absl/time/time.h"
#include "common/planning/online_planner.h"
#include "grpcpp/channel.h"

namespace demorl {

// Streams of plans that a planner serves at once; each holds its models.
inline constexpr int kMaxPlanStreams = 64;

struct MpcRolloutClientOptions {
  std::string run_id;
  // Of the environment to plan for.
  std::string schema_hash;
  // A plan that takes longer is given up: DEADLINE_EXCEEDED.
  absl::Duration plan_timeout = absl::Minutes(10);
};

// The planning service reached over a channel. Thread-safe.
class MpcRolloutClient {
 public:
  MpcRolloutClient(std::shared_ptr<grpc::Channel> channel, MpcRolloutClientOptions options);
  ~MpcRolloutClient();

  // A planner over one stream of its own, which is opened by the first plan and again by the next one after
  // it has ended; the plan of before is then forgotten. Works on without this client.
  std::unique_ptr<OnlinePlanner> OpenPlanner();

  // Ends the plans under way and all later ones with CANCELLED. Idempotent.
  void Close();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace demorl
