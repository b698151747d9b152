#include "common/planning/plan_rows.h"

#include <cmath>
#include <memory>

#include "common/base/status_macros.h"
#include "common/planning/action_sources.h"
#include "common/planning/candidates.h"

namespace demorl {
namespace {

struct PlanStreams {
  std::vector<Random> members;
  std::vector<Random> model;
  std::vector<Random> policy;
};

// The start states of a block that have a plan, and what their rollouts need.
struct PlannedBlock {
  std::vector<int> starts;
  std::vector<float> plans;  // [starts, H, A]
  PlanStreams streams;
  RolloutRequest request;
};

PlannedBlock MakeBlock(const DmdMpcOptions& options, const PlanningParts& parts, const PlanningTask& task,
                       const ImprovedPlans& plans, int first_start, int num_starts) {
  PlannedBlock block;
  const int observation_size = parts.model->observation_size();
  const int plan_size = task.horizon_steps * parts.model->action_size();
  for (int s = first_start; s < first_start + num_starts; ++s) {
    if (!plans.valid[s]) {
      continue;
    }
    block.starts.push_back(s);
    const auto plan = plans.plans.begin() + static_cast<ptrdiff_t>(s) * plan_size;
    block.plans.insert(block.plans.end(), plan, plan + plan_size);
    const auto observation =
        task.start_observations.subspan(static_cast<size_t>(s) * observation_size, observation_size);
    block.request.observations.insert(block.request.observations.end(), observation.begin(),
                                      observation.end());
    block.streams.members.push_back(StartStream(task, "rows.member", s));
    block.streams.model.push_back(StartStream(task, "rows.model", s));
    block.streams.policy.push_back(StartStream(task, "rows.policy", s));
    block.request.members.push_back(
        static_cast<int>(block.streams.members.back().Index(parts.model->num_elite_members())));
  }
  block.request.start_indices = block.starts;
  block.request.horizon_steps = task.horizon_steps;
  block.request.redraw_members = options.model_draw == ModelDrawKind::kPerStep;
  block.request.keep_trace = true;
  block.request.out_of_time = task.out_of_time;
  return block;
}

// Steps [from, to) of one rollout.
Segment MakeSegment(const Rollouts& rollouts, int row, int from, int to, int horizon, int observation_size,
                    int action_size) {
  Segment segment;
  segment.num_steps = to - from;
  segment.first_step = from;
  const auto observations =
      rollouts.observations.begin() + (static_cast<ptrdiff_t>(row) * (horizon + 1) + from) * observation_size;
  segment.observations.assign(
      observations, observations + static_cast<ptrdiff_t>(segment.num_steps + 1) * observation_size);
  const ptrdiff_t first = static_cast<ptrdiff_t>(row) * horizon + from;
  const auto actions = rollouts.actions.begin() + first * action_size;
  segment.actions.assign(actions, actions + static_cast<ptrdiff_t>(segment.num_steps) * action_size);
  const auto rewards = rollouts.rewards.begin() + first;
  segment.rewards.assign(rewards, rewards + segment.num_steps);
  segment.terminated = rollouts.terminated[static_cast<size_t>(row) * horizon + to - 1] != 0;
  segment.truncated = !segment.terminated;
  return segment;
}

void AppendSegments(const Rollouts& rollouts, int row, int start, int horizon, const PlannedRowLabels& labels,
                    TransitionChunk* chunk) {
  const uint8_t* terminated = &rollouts.terminated[static_cast<size_t>(row) * horizon];
  const int num_steps = rollouts.num_steps[row];
  for (int from = 0, to = 1; to <= num_steps; ++to) {
    if (to < num_steps && !terminated[to - 1]) {
      continue;
    }
    Segment segment =
        MakeSegment(rollouts, row, from, to, horizon, chunk->observation_size, chunk->action_size);
    segment.episode_id = static_cast<uint64_t>(start) + 1;
    segment.policy_versions.assign(segment.num_steps, labels.policy_version);
    segment.provenance = PlannedProvenance{.dynamics_version = labels.dynamics_version,
                                           .horizon_steps = horizon,
                                           .planning_round = labels.planning_round};
    chunk->segments.push_back(std::move(segment));
    from = to;
  }
}

}  // namespace

absl::Status RollPlans(const DmdMpcOptions& options, const PlanningParts& parts, const PlanningTask& task,
                       const ImprovedPlans& plans, const PlannedRowLabels& labels, int first_start,
                       int num_starts, PlannedRows* rows) {
  PlannedBlock block = MakeBlock(options, parts, task, plans, first_start, num_starts);
  rows->skipped_starts += num_starts - static_cast<int>(block.starts.size());
  if (block.starts.empty()) {
    return absl::OkStatus();
  }
  block.request.member_streams = block.streams.members;
  block.request.model_streams = block.streams.model;
  OpenLoopActions open_loop(block.plans, 1, task.horizon_steps, parts.model->action_size());
  StochasticPolicyActions closed_loop(parts.policy, block.streams.policy, parts.model->action_size());
  ActionSource& source = options.closed_loop_rows ? static_cast<ActionSource&>(closed_loop) : open_loop;
  ASSIGN_OR_RETURN(const Rollouts rollouts, RollOut(options, parts, block.request, source));
  for (size_t row = 0; row < block.starts.size(); ++row) {
    const int start = block.starts[row];
    if (!std::isfinite(rollouts.returns[row])) {
      ++rows->skipped_starts;
      continue;
    }
    rows->plan_returns[start] = rollouts.returns[row];
    AppendSegments(rollouts, static_cast<int>(row), start, task.horizon_steps, labels, &rows->chunk);
  }
  return absl::OkStatus();
}

}  // namespace demorl
