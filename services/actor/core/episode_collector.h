#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/env/environment.h"
#include "common/planning/online_planner.h"
#include "common/policy/mlp_policy.h"
#include "common/tensor/transition_chunk.h"

namespace demorl {

// A finished training episode.
struct EpisodeSummary {
  double episode_return = 0;
  int length = 0;
  bool terminated = false;
};

// Steps a batch of environments with the current policy and packs what happens into chunks. No Torch, no
// gRPC. Thread-compatible. Deterministic given seed and the times at which policies are swapped, whatever the
// number of threads, unless planners act.
class EpisodeCollector {
 public:
  struct Options {
    std::string environment_id;
    int num_environments = 1;
    int num_threads = 1;
    // A chunk is closed after this many steps of an environment, or at the end of its episode.
    int chunk_steps = 25;
    uint64_t seed = 0;
    // First episode id; ids grow by one per episode.
    uint64_t first_episode_id = 1;
    // Where it makes planners, these choose the actions instead of the policy.
    PlannerSource planners;
  };

  static absl::StatusOr<std::unique_ptr<EpisodeCollector>> Create(const Options& options);
  virtual ~EpisodeCollector() = default;

  virtual const EnvironmentSpec& spec() const = 0;

  // Takes effect at the next step, mid-episode. INVALID_ARGUMENT for other shapes or non-finite weights; the
  // last good policy stays.
  virtual absl::Status SetPolicy(const TensorFile& tensors, uint64_t version) = 0;
  virtual uint64_t policy_version() const = 0;

  // One step of every environment; actions are uniform random while `random_actions`, or without a policy
  // where there are no planners. An error is the first of a planner; its environments have not moved, the
  // others have.
  virtual absl::Status Step(bool random_actions) = 0;

  // Steps of all environments so far that were recorded.
  virtual int64_t num_steps() const = 0;

  // Times a simulator gave a non-finite observation or reward, or the policy a non-finite action. The first
  // two cut the episode before that step (truncated); a non-finite action becomes 0.
  virtual int64_t num_non_finite() const = 0;

  // Segments closed since the last call, one chunk, or an empty one. `flush` closes what is open, without
  // ending episodes.
  virtual TransitionChunk TakeChunk(bool flush) = 0;

  // Marks the running episodes truncated and starts new ones at the next step.
  virtual void TruncateEpisodes() = 0;

  // Episodes finished since the last call.
  virtual std::vector<EpisodeSummary> TakeEpisodes() = 0;

  // All environments, open segments, counters and random streams; not the policy's weights.
  virtual std::string SaveState() const = 0;
  virtual absl::Status RestoreState(absl::string_view state) = 0;
};

struct EvaluationOptions {
  std::string environment_id;
  int num_episodes = 5;
  uint64_t seed = 0;
  // 0 for the environment's own limit.
  int max_episode_steps = 0;
  bool stochastic = false;
  // Where it makes planners, these choose the actions instead of the policy, which is then not looked at.
  PlannerSource planners;
  int num_threads = 1;
  // Asked after each step, by all threads; true ends the evaluation with CANCELLED.
  std::function<bool()> cancelled;
};

struct EvaluationResult {
  std::vector<double> returns;
  std::vector<int> lengths;
  std::vector<bool> terminated;
  // Over all visited observations.
  int64_t observation_count = 0;
  std::vector<double> observation_sum;
  std::vector<double> observation_sum_squares;

  double mean_return() const;
  double stddev_return() const;  // population
  double mean_length() const;
};

// Runs whole episodes apart from training. Deterministic given the seed, whatever the number of threads,
// unless planners act. An episode in which the simulator gives non-finite numbers ends before that step.
// INVALID_ARGUMENT for a policy that does not fit, fewer than 1 episode, or an environment that never ends
// without max_episode_steps; a planner's error ends it.
absl::StatusOr<EvaluationResult> Evaluate(const TensorFile& policy, const EvaluationOptions& options);

}  // namespace demorl
