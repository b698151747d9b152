#pragma once

#include <memory>
#include <string>
#include <vector>

#include "services/replay/core/replay_core.h"
#include "tests/testing/status_matchers.h"

namespace demorl::testing {

inline EnvironmentSpec TestEnvironment() {
  return {.environment_id = "Line-v0",
          .observation_size = 2,
          .action_size = 1,
          .command_minimum = {-1},
          .command_maximum = {1},
          .control_period = absl::Milliseconds(20),
          .max_episode_steps = 100};
}

// Observation i of an episode is {episode, step}, the reward of a step is its number: a row shows where it
// comes from.
inline Segment MakeSegment(uint64_t episode, int first_step, int num_steps) {
  Segment segment{.episode_id = episode, .first_step = first_step, .num_steps = num_steps};
  for (int step = first_step; step <= first_step + num_steps; ++step) {
    segment.observations.push_back(static_cast<float>(episode));
    segment.observations.push_back(static_cast<float>(step));
  }
  for (int step = first_step; step < first_step + num_steps; ++step) {
    segment.actions.push_back(0.5f);
    segment.rewards.push_back(static_cast<float>(step));
    segment.policy_versions.push_back(static_cast<uint64_t>(step / 2));
  }
  return segment;
}

inline Segment MakePlannedSegment(uint64_t round, uint64_t dynamics_version, int num_steps) {
  Segment segment = MakeSegment(round, 0, num_steps);
  segment.provenance = PlannedProvenance{
      .dynamics_version = dynamics_version, .horizon_steps = num_steps, .planning_round = round};
  return segment;
}

inline TransitionChunk MakeChunk(std::vector<Segment> segments) {
  return {.observation_size = 2, .action_size = 1, .segments = std::move(segments)};
}

inline ReplayOptions TestOptions() {
  return {.run_id = "run", .tables = {{.name = "env"}, {.name = "mpc"}}, .seed = 7};
}

inline std::unique_ptr<ReplayCore> MakeCore(const ReplayOptions& options) {
  auto core = ReplayCore::Create(options, RealClock::Get(), nullptr);
  EXPECT_OK(core);
  return std::move(core).value();
}

inline WriterHandle OpenTestWriter(ReplayCore* core, const std::string& table = "env",
                                   const std::string& writer_id = "actor", uint64_t epoch = 1) {
  auto writer = core->OpenWriter({.table = table,
                                  .writer_id = writer_id,
                                  .writer_epoch = epoch,
                                  .environment = TestEnvironment(),
                                  .simulated = true});
  EXPECT_OK(writer);
  return *writer;
}

inline int64_t RowsInserted(const ReplayCore& core, const std::string& table) {
  return core.Describe(table)->rows_inserted;
}

}  // namespace demorl::testing
