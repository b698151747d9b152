#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/concurrency/worker_pool.h"
#include "common/env/environment.h"

namespace demorl {

// Many environments of one id, stepped together on a fixed set of threads. Environment i draws from its own
// stream, SplitSeed(seed, "environment", i), so that trajectories do not depend on the number of threads. A
// step allocates nothing. Thread-compatible: one caller.
class BatchedEnvironments {
 public:
  struct Options {
    std::string environment_id;
    int num_environments = 1;
    // The caller's thread is one of them; more than num_environments are not started.
    int num_threads = 1;
    uint64_t seed = 0;
  };

  // NOT_FOUND for an id that is not native, INVALID_ARGUMENT for counts below 1.
  static absl::StatusOr<std::unique_ptr<BatchedEnvironments>> Create(const Options& options);

  const EnvironmentSpec& spec() const { return environments_.front()->spec(); }
  int size() const { return static_cast<int>(environments_.size()); }

  // Starts an episode in every environment.
  std::span<const Timestep> Reset();

  // One step of every environment, `actions` [N, A] row-major, normalised. An environment that answered kLast
  // starts an episode instead, without looking at its action, and answers kFirst.
  std::span<const Timestep> Step(std::span<const double> actions);

  // What the last Reset, Step or RestoreState left: N timesteps, whose observations are the rows of
  // `observations` [N, O].
  std::span<const Timestep> timesteps() const { return timesteps_; }
  std::span<const double> observations() const { return observations_; }

  // All environments and their last timesteps; INVALID_ARGUMENT for a state of another task or count, after
  // which only Reset or another RestoreState may follow.
  std::string SaveState() const;
  absl::Status RestoreState(absl::string_view state);

 private:
  explicit BatchedEnvironments(std::vector<std::unique_ptr<Environment>> environments, int num_threads);
  void AdvanceAll();
  void Advance(int index);
  void Keep(int index, const Timestep& timestep);

  std::vector<std::unique_ptr<Environment>> environments_;
  std::vector<Timestep> timesteps_;
  std::vector<double> observations_;
  // Of the step under way; empty for a reset.
  std::span<const double> actions_;
  WorkerPool pool_;
};

}  // namespace demorl
