#pragma once

#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "common/env/tasks/stochlite/quadruped_environment.h"
#include "common/env/tasks/stochlite/stochlite_variants.h"
#include "common/env/tasks/stochlite/task_state.h"
#include "common/env/tasks/stochlite/trot_generator.h"

namespace demorl::stochlite {

// StochLite in simulation: a policy chooses parameters of the gait at 100 Hz, the trot generator and inverse
// kinematics make joint positions of them, servos follow. An episode begins with the robot standing along the
// slope.
class StochLiteEnvironment final : public QuadrupedEnvironment {
 public:
  static absl::StatusOr<std::unique_ptr<StochLiteEnvironment>> Create(EnvironmentSpec spec, uint64_t seed,
                                                                      const TwinOptions& options);

  // Of the running episode.
  const TrotGenerator& generator() const { return generator_; }
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
  Outcome Evaluate(std::span<const double> command, const Anchor& before, const Anchor& after) const override;

 private:
  StochLiteEnvironment(EnvironmentSpec spec, MujocoSetup setup, std::shared_ptr<mjModel> model, uint64_t seed,
                       QuadrupedBody body, const TwinOptions& options);

  void Measure();
  double JointPower_w() const;

  const TwinOptions options_;
  TrotGenerator generator_;
  double commanded_heading_rad_ = 0;
  TaskState state_;
};

}  // namespace demorl::stochlite
