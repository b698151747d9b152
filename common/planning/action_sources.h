#pragma once

#include <span>
#include <vector>

#include "common/planning/rollout.h"

namespace demorl {

// The ways in which planners choose actions of rollouts. Rows are start states, then samples, then particles.

// base [S, H, A] + noise [S, M, H, A], clipped: the candidates of an open-loop plan.
std::vector<float> AddNoise(const std::vector<float>& base, const std::vector<float>& noise, int num_samples,
                            int plan_size, double action_bound);

// Candidates of one iteration: noise around the policy at each row's own state or around an open-loop plan;
// the last `num_proposals` samples of a start state are the policy's own rollouts.
class CandidateActions final : public ActionSource {
 public:
  struct Options {
    std::span<const float> base;   // [S, H, A]
    std::span<const float> noise;  // [S, M, H, A]; 0 for proposals
    int num_samples = 1;
    int num_proposals = 0;
    bool follow_policy = false;
    // The stochastic policy draws, but for sample 0, which takes its mean unless `sampled_base`.
    bool sampled_policy = false;
    bool sampled_base = false;
    int action_size = 0;
    int observation_size = 0;
  };

  CandidateActions(const Options& options, PolicyFunction* policy, std::span<Random> policy_streams);

  absl::Status Actions(int step, std::span<const float> observations, std::vector<float>* actions) override;

 private:
  absl::Status PolicyActions(std::span<const float> observations, std::vector<float>* actions);

  const Options options_;
  PolicyFunction* const policy_;
  const std::span<Random> streams_;
  const int num_rows_;
  const int plan_size_;
  std::vector<int> policy_rows_;
  std::vector<float> gathered_;
  std::vector<float> draws_;
  std::vector<float> policy_actions_;
};

// Recorded plans [rows / repeats, H, A], each followed by `repeats` consecutive rows.
class OpenLoopActions final : public ActionSource {
 public:
  OpenLoopActions(std::span<const float> plans, int repeats, int horizon_steps, int action_size)
      : plans_(plans), repeats_(repeats), horizon_steps_(horizon_steps), action_size_(action_size) {}

  absl::Status Actions(int step, std::span<const float> observations, std::vector<float>* actions) override;

 private:
  const std::span<const float> plans_;
  const int repeats_;
  const int horizon_steps_;
  const int action_size_;
};

// The stochastic policy at each row's own state, one stream per row.
class StochasticPolicyActions final : public ActionSource {
 public:
  StochasticPolicyActions(PolicyFunction* policy, std::span<Random> streams, int action_size)
      : policy_(policy), streams_(streams), action_size_(action_size) {}

  absl::Status Actions(int step, std::span<const float> observations, std::vector<float>* actions) override;

 private:
  PolicyFunction* const policy_;
  const std::span<Random> streams_;
  const int action_size_;
  std::vector<float> draws_;
};

}  // namespace demorl
