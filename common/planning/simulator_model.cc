#include "common/planning/simulator_model.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/base/status_macros.h"

namespace demorl {

SimulatorModel::SimulatorModel(std::unique_ptr<Environment> environment)
    : environment_(std::move(environment)), command_(environment_->spec().action_size) {}

absl::Status SimulatorModel::SetStartStates(std::vector<std::string> states) {
  for (const std::string& state : states) {
    RETURN_IF_ERROR(environment_->RestoreState(state));
  }
  start_states_ = std::move(states);
  return absl::OkStatus();
}

absl::Status SimulatorModel::BeginRollouts(std::span<const int> start_indices) {
  rows_.clear();
  rows_.reserve(start_indices.size());
  for (const int index : start_indices) {
    if (index < 0 || index >= static_cast<int>(start_states_.size())) {
      return absl::FailedPreconditionError(absl::StrCat("rollout from simulator state ", index, " of ",
                                                        start_states_.size(), " that were set"));
    }
    rows_.push_back({.state = start_states_[index]});
  }
  return absl::OkStatus();
}

absl::Status SimulatorModel::Step(std::span<const float> observations, std::span<const float> actions,
                                  std::span<const int> members, std::span<const float> /*draws*/,
                                  ModelStepResult* result) {
  DEMORL_CHECK(members.size() == rows_.size());
  const size_t width = observation_size();
  result->rewards.assign(rows_.size(), 0.0F);
  result->terminated.assign(rows_.size(), 0);
  result->next_observations.assign(observations.begin(), observations.end());
  for (size_t b = 0; b < rows_.size(); ++b) {
    if (!rows_[b].ended) {
      RETURN_IF_ERROR(StepRow(actions.subspan(b * action_size(), action_size()), &rows_[b],
                              &result->rewards[b], {&result->next_observations[b * width], width}));
    }
    result->terminated[b] = rows_[b].terminated;
  }
  return absl::OkStatus();
}

absl::Status SimulatorModel::StepRow(std::span<const float> action, Row* row, float* reward,
                                     std::span<float> observation) {
  RETURN_IF_ERROR(environment_->RestoreState(row->state));
  std::copy(action.begin(), action.end(), command_.begin());
  const Timestep timestep = environment_->Step(command_);
  *reward = static_cast<float>(timestep.reward);
  std::transform(timestep.observation.begin(), timestep.observation.end(), observation.begin(),
                 [](double value) { return static_cast<float>(value); });
  row->terminated = timestep.terminated;
  row->ended = timestep.step_type == StepType::kLast;
  if (!row->ended) {
    row->state = environment_->SaveState();
  }
  return absl::OkStatus();
}

}  // namespace demorl
