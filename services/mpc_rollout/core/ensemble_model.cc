#include "services/mpc_rollout/core/ensemble_model.h"

#include <utility>

#include "common/base/status_macros.h"
#include "common/rl/ensemble_inference.h"

namespace demorl {
namespace {

// The ensemble with the task's own rule of termination.
class RuledEnsemble final : public DynamicsModel {
 public:
  RuledEnsemble(std::unique_ptr<EnsembleInference> ensemble, TerminationRule rule)
      : ensemble_(std::move(ensemble)), rule_(rule) {}

  int observation_size() const override { return ensemble_->observation_size(); }
  int action_size() const override { return ensemble_->action_size(); }
  int num_elite_members() const override { return ensemble_->num_elite_members(); }

  absl::Status Step(std::span<const float> observations, std::span<const float> actions,
                    std::span<const int> members, std::span<const float> draws,
                    ModelStepResult* result) override {
    RETURN_IF_ERROR(ensemble_->Step(observations, actions, members, draws, result));
    const size_t width = observation_size();
    const std::span<const float> next = result->next_observations;
    for (size_t row = 0; row < members.size(); ++row) {
      result->terminated[row] = rule_(next.subspan(row * width, width));
    }
    return absl::OkStatus();
  }

 private:
  const std::unique_ptr<EnsembleInference> ensemble_;
  const TerminationRule rule_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<DynamicsModel>> MakeEnsembleModel(const TensorFile& file, int observation_size,
                                                                 int action_size,
                                                                 TerminationRule termination_rule,
                                                                 const std::string& device) {
  ASSIGN_OR_RETURN(std::unique_ptr<EnsembleInference> ensemble,
                   EnsembleInference::FromTensors(file, observation_size, action_size, device));
  if (termination_rule != nullptr) {
    return std::make_unique<RuledEnsemble>(std::move(ensemble), termination_rule);
  }
  if (!ensemble->learned_termination()) {
    return absl::InvalidArgumentError(
        "the dynamics snapshot has no classifier of termination, and the task has no known rule");
  }
  return ensemble;
}

}  // namespace demorl
