#pragma once

#include <mujoco/mujoco.h>

#include <array>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "common/base/random.h"
#include "common/env/environment.h"
#include "common/env/mj_handles.h"

namespace demorl {

struct MujocoSetup {
  std::string model_file;
  // Simulation steps per control step.
  int frame_skip = 1;
  // Half-width of the uniform noise on each position at reset.
  double position_noise = 0;
  // Half-width of the uniform noise on each velocity at reset, or its standard deviation.
  double velocity_noise = 0;
  bool normal_velocity_noise = false;
  // Whether the task reads the external forces of bodies, which MuJoCo computes on request only.
  bool reads_contact_forces = false;
  // The task turns actions into commands of the model's actuators by itself (Actuate), whose number may
  // differ.
  bool own_actuators = false;
};

// A MuJoCo task without its task: stepping, episode clock, action scaling, saving. A task says how an episode
// starts, what is observed and what a step is worth.
class MujocoEnvironment : public Environment {
 public:
  const EnvironmentSpec& spec() const override { return spec_; }
  Timestep Reset() final;
  Timestep Step(std::span<const double> action) final;
  std::string SaveState() const final;
  absl::Status RestoreState(absl::string_view state) final;

  // Starts an episode from a given state [nq], [nv] instead of a drawn one.
  Timestep StartEpisodeAt(std::span<const double> qpos, std::span<const double> qvel);

  const mjModel& model() const { return *model_; }
  const mjData& data() const { return *data_; }

 protected:
  // What a step's reward compares before and after, as Gymnasium sees it; meaning is the task's.
  using Anchor = std::array<double, 2>;
  struct Outcome {
    double reward = 0;
    bool terminated = false;
  };

  MujocoEnvironment(EnvironmentSpec spec, MujocoSetup setup, MjModelHandle model, uint64_t seed);

  // Fills the state of a new episode; comes with the model's own pose and zero velocity.
  virtual void DrawInitialState(Random& random, std::span<double> qpos, std::span<double> qvel);
  // Called at the start of every episode, after the state is set and before anything is measured.
  virtual void BeginEpisode() {}
  // Turns an action [A] in [-1, 1] into the command [nu] that drives the simulation until the next action:
  // scales it to the command's bounds, unless a task says otherwise. Called once in each step, before the
  // simulation.
  virtual void Actuate(std::span<const double> action, std::span<double> command);
  // Called once in each step, after the simulation and before anything is measured.
  virtual void AfterSimulation() {}
  // What a task keeps beside the simulation, always of the same size; saved and restored with it.
  virtual std::vector<double> SaveTask() const { return {}; }
  virtual void RestoreTask(std::span<const double>) {}
  // Fills all of `observation` [O].
  virtual void Observe(std::span<double> observation) const = 0;
  virtual Anchor MeasureAnchor() const { return {}; }
  // Values the step that has just been simulated. `command` [nu] as applied, unclipped by MuJoCo.
  virtual Outcome Evaluate(std::span<const double> command, const Anchor& before,
                           const Anchor& after) const = 0;

  mjData& mutable_data() { return *data_; }
  // Seconds between two actions.
  double control_period() const { return model_->opt.timestep * setup_.frame_skip; }

  std::span<const double> qpos() const { return {data_->qpos, static_cast<size_t>(model_->nq)}; }
  std::span<const double> qvel() const { return {data_->qvel, static_cast<size_t>(model_->nv)}; }
  // External force and torque on each body, [nbody, 6].
  std::span<const double> cfrc_ext() const {
    return {data_->cfrc_ext, static_cast<size_t>(model_->nbody) * 6};
  }
  // Position of a body's frame; the body must exist.
  std::span<const double, 3> BodyPosition(int body) const {
    return std::span<const double, 3>(data_->xpos + 3 * body, 3);
  }
  int BodyIndex(const char* name) const;

 private:
  Timestep Begin();

  const EnvironmentSpec spec_;
  const MujocoSetup setup_;
  const MjModelHandle model_;
  const MjDataHandle data_;
  Random random_;
  // Steps taken in the episode; -1 when none runs.
  int64_t elapsed_steps_ = -1;
  Anchor anchor_{};
  std::vector<double> action_;
  std::vector<double> command_center_;
  std::vector<double> command_half_range_;
  std::vector<double> command_;
  std::vector<double> observation_;
};

// Sum of squares.
double SumOfSquares(std::span<const double> values);

// Appends values to an observation that is being filled.
class ObservationWriter {
 public:
  explicit ObservationWriter(std::span<double> observation) : rest_(observation) {}
  // Every written value must fit, and at the end none may be missing.
  ~ObservationWriter();

  void Append(double value);
  void Append(std::span<const double> values);
  void AppendClipped(std::span<const double> values, double limit);

 private:
  std::span<double> rest_;
};

}  // namespace demorl
