#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/env/environment.h"
#include "common/planning/dynamics_model.h"

namespace demorl {

// The true simulator as a model with one member and no randomness of its own. An observation does not
// determine a simulation, so each row keeps the environment's saved state beside it: rollouts begin at the
// states set by SetStartStates, and every row steps one shared environment that is put into its state first.
// A row whose episode ended, by termination or by the clock, stands still and earns nothing.
// Thread-compatible.
class SimulatorModel final : public DynamicsModel {
 public:
  explicit SimulatorModel(std::unique_ptr<Environment> environment);

  // States as Environment::SaveState gives them, one per start state of the next planning task.
  // INVALID_ARGUMENT, and the states of before stay, for one that the environment refuses.
  absl::Status SetStartStates(std::vector<std::string> states);

  int observation_size() const override { return environment_->spec().observation_size; }
  int action_size() const override { return environment_->spec().action_size; }
  int num_elite_members() const override { return 1; }

  // FAILED_PRECONDITION for an index without a start state.
  absl::Status BeginRollouts(std::span<const int> start_indices) override;

  absl::Status Step(std::span<const float> observations, std::span<const float> actions,
                    std::span<const int> members, std::span<const float> draws,
                    ModelStepResult* result) override;

 private:
  struct Row {
    std::string state;
    bool ended = false;
    bool terminated = false;
  };

  absl::Status StepRow(std::span<const float> action, Row* row, float* reward, std::span<float> observation);

  std::unique_ptr<Environment> environment_;
  std::vector<std::string> start_states_;
  std::vector<Row> rows_;
  std::vector<double> command_;
};

}  // namespace demorl
