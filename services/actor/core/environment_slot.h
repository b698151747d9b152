#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "common/base/random.h"
#include "common/env/environment.h"
#include "common/env/state_codec.h"
#include "common/policy/mlp_policy.h"
#include "common/tensor/transition_chunk.h"
#include "services/actor/core/environment_planner.h"
#include "services/actor/core/episode_collector.h"

namespace demorl {

// What chooses the action of a step.
enum class Behaviour { kUniformRandom, kPolicy, kPlanner };

// One environment of a collector with its running episode. Thread-compatible: different slots may be stepped
// on different threads.
class EnvironmentSlot {
 public:
  // Without `planner` (null) there is no Behaviour::kPlanner.
  EnvironmentSlot(std::unique_ptr<Environment> environment, uint64_t action_seed,
                  std::unique_ptr<EnvironmentPlanner> planner = nullptr);

  bool in_episode() const { return in_episode_; }
  const EnvironmentSpec& spec() const { return environment_->spec(); }

  // The next Step starts this episode.
  void BeginEpisode(uint64_t episode_id);

  // One control step. `policy` is for Behaviour::kPolicy, `policy_version` its version; random actions are
  // recorded as version 0, planned ones with the planner's policy. Closes the open segment at `chunk_steps`
  // and at the end of the episode. An error is the planner's; the environment has then not moved.
  absl::Status Step(Behaviour behaviour, MlpPolicy* policy, uint64_t policy_version, int chunk_steps);

  // Closes the open segment without ending the episode; no effect if it is empty.
  void CloseSegment();
  // Ends the episode after the last recorded step.
  void Truncate();

  // What happened since these were called last.
  std::vector<Segment> TakeSegments();
  std::optional<EpisodeSummary> TakeEpisode();
  int64_t TakeNumRecorded();
  int64_t TakeNumNonFinite();

  void Save(StateWriter* writer) const;
  // False if the bytes are not a saved slot of these sizes; the slot is then undefined.
  bool Restore(StateReader* reader);

 private:
  bool Start();
  // The version of the policy behind the action.
  absl::StatusOr<uint64_t> ChooseAction(Behaviour behaviour, MlpPolicy* policy, uint64_t policy_version);
  // Takes over the observation; false if it is not finite.
  bool Observe(const Timestep& timestep);
  void Record(const Timestep& timestep, uint64_t policy_version);
  void OpenSegment(int first_step);

  std::unique_ptr<Environment> environment_;
  std::unique_ptr<EnvironmentPlanner> planner_;
  Random random_;
  bool in_episode_ = false;
  bool needs_reset_ = true;
  uint64_t episode_id_ = 0;
  EpisodeSummary episode_;
  std::vector<float> observation_;  // [O], of the current step
  std::vector<float> action_;       // [A]
  std::vector<double> command_;     // [A], scratch
  Segment open_;

  std::vector<Segment> closed_;
  std::optional<EpisodeSummary> finished_;
  int64_t num_recorded_ = 0;
  int64_t num_non_finite_ = 0;
};

// State of segments, for the collector's own checkpoints.
void SaveSegment(const Segment& segment, StateWriter* writer);
// False for bytes that are not a segment of `observation_size` and `action_size`.
bool RestoreSegment(int observation_size, int action_size, StateReader* reader, Segment* segment);

}  // namespace demorl
