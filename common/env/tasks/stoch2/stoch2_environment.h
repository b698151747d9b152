#pragma once

#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "common/env/tasks/stoch2/observation.h"
#include "common/env/tasks/stoch2/reward.h"
#include "common/env/tasks/stoch2/stoch2_variants.h"
#include "common/env/tasks/stochlite/quadruped_environment.h"

namespace demorl::stoch2 {

// Stoch2 in simulation, a task for linear policies: a policy that sees the torso's attitude and the slope
// shapes the paths of the feet at 200 Hz. An episode begins with the robot standing along the slope.
class Stoch2Environment final : public stochlite::QuadrupedEnvironment {
 public:
  static absl::StatusOr<std::unique_ptr<Stoch2Environment>> Create(EnvironmentSpec spec, uint64_t seed,
                                                                   const TwinOptions& options);

  // At the last timestep.
  const TaskState& task_state() const { return state_; }

 protected:
  void DrawInitialState(Random& random, std::span<double> qpos, std::span<double> qvel) override;
  void BeginEpisode() override;
  void Actuate(std::span<const double> action, std::span<double> command) override;
  void AfterSimulation() override;
  std::vector<double> SaveTask() const override;
  void RestoreTask(std::span<const double> values) override;
  void Observe(std::span<double> observation) const override;
  Anchor MeasureAnchor() const override { return {qpos()[0], 0}; }
  Outcome Evaluate(std::span<const double> command, const Anchor& before, const Anchor& after) const override;

 private:
  Stoch2Environment(EnvironmentSpec spec, MujocoSetup setup, std::shared_ptr<mjModel> model, uint64_t seed,
                    stochlite::QuadrupedBody body, const TwinOptions& options);

  void Measure();
  // The attitude as the robot's sensor gives it in this control step.
  stochlite::Attitude ObservedAttitude();

  const TwinOptions options_;
  // Of the front right leg in the next control step.
  double gait_phase_rad_ = 0;
  AttitudeHistory history_;
  // Of the episode, and how many attitudes were observed in it.
  uint64_t noise_seed_ = 0;
  uint64_t num_observed_ = 0;
  TaskState state_;
};

}  // namespace demorl::stoch2
