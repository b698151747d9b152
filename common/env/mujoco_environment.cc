#include "common/env/mujoco_environment.h"

#include <algorithm>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/env/state_codec.h"

namespace demorl {
namespace {

constexpr unsigned kSavedState = mjSTATE_INTEGRATION;

}  // namespace

MujocoEnvironment::MujocoEnvironment(EnvironmentSpec spec, MujocoSetup setup, MjModelHandle model,
                                     uint64_t seed)
    : spec_(std::move(spec)),
      setup_(std::move(setup)),
      model_(std::move(model)),
      data_(mj_makeData(model_.get())),
      random_(seed),
      action_(spec_.action_size),
      command_(model_->nu),
      observation_(spec_.observation_size) {
  DEMORL_CHECK(data_ != nullptr);
  DEMORL_CHECK(setup_.own_actuators || model_->nu == spec_.action_size);
  for (int i = 0; i < spec_.action_size; ++i) {
    command_center_.push_back((spec_.command_maximum[i] + spec_.command_minimum[i]) / 2);
    command_half_range_.push_back((spec_.command_maximum[i] - spec_.command_minimum[i]) / 2);
  }
}

int MujocoEnvironment::BodyIndex(const char* name) const {
  const int body = mj_name2id(model_.get(), mjOBJ_BODY, name);
  DEMORL_CHECK_MSG(body >= 0, name);
  return body;
}

void MujocoEnvironment::DrawInitialState(Random& random, std::span<double> qpos, std::span<double> qvel) {
  for (double& position : qpos) {
    position += random.Uniform(-setup_.position_noise, setup_.position_noise);
  }
  for (double& velocity : qvel) {
    velocity += setup_.normal_velocity_noise ? setup_.velocity_noise * random.Normal()
                                             : random.Uniform(-setup_.velocity_noise, setup_.velocity_noise);
  }
}

Timestep MujocoEnvironment::Reset() {
  mj_resetData(model_.get(), data_.get());
  DrawInitialState(random_, {data_->qpos, static_cast<size_t>(model_->nq)},
                   {data_->qvel, static_cast<size_t>(model_->nv)});
  return Begin();
}

Timestep MujocoEnvironment::StartEpisodeAt(std::span<const double> qpos, std::span<const double> qvel) {
  DEMORL_CHECK(qpos.size() == model_->nq && qvel.size() == model_->nv);
  mj_resetData(model_.get(), data_.get());
  std::ranges::copy(qpos, data_->qpos);
  std::ranges::copy(qvel, data_->qvel);
  return Begin();
}

Timestep MujocoEnvironment::Begin() {
  mj_forward(model_.get(), data_.get());
  elapsed_steps_ = 0;
  BeginEpisode();
  anchor_ = MeasureAnchor();
  Observe(observation_);
  return {.step_type = StepType::kFirst, .observation = observation_};
}

void MujocoEnvironment::Actuate(std::span<const double> action, std::span<double> command) {
  for (size_t i = 0; i < command.size(); ++i) {
    command[i] = command_center_[i] + command_half_range_[i] * action[i];
  }
}

Timestep MujocoEnvironment::Step(std::span<const double> action) {
  DEMORL_CHECK_MSG(elapsed_steps_ >= 0, "Step outside an episode");
  DEMORL_CHECK(action.size() == action_.size());
  std::ranges::transform(action, action_.begin(), [](double value) { return std::clamp(value, -1.0, 1.0); });
  Actuate(action_, command_);
  std::ranges::copy(command_, data_->ctrl);
  for (int i = 0; i < setup_.frame_skip; ++i) {
    mj_step(model_.get(), data_.get());
  }
  AfterSimulation();
  if (setup_.reads_contact_forces) {
    mj_rnePostConstraint(model_.get(), data_.get());
  }
  const Anchor before = std::exchange(anchor_, MeasureAnchor());
  const Outcome outcome = Evaluate(command_, before, anchor_);
  Observe(observation_);
  ++elapsed_steps_;
  const bool truncated = spec_.max_episode_steps > 0 && elapsed_steps_ >= spec_.max_episode_steps;
  const bool last = outcome.terminated || truncated;
  if (last) {
    elapsed_steps_ = -1;
  }
  return {.step_type = last ? StepType::kLast : StepType::kMid,
          .reward = outcome.reward,
          .terminated = outcome.terminated,
          .truncated = truncated,
          .observation = observation_};
}

std::string MujocoEnvironment::SaveState() const {
  std::vector<double> physics(mj_stateSize(model_.get(), kSavedState));
  mj_getState(model_.get(), data_.get(), physics.data(), kSavedState);
  StateWriter writer;
  writer.Text(spec_.environment_id);
  writer.Value(random_.SaveState());
  writer.Value(elapsed_steps_);
  writer.Value(anchor_);
  for (const std::vector<double>& values : {physics, SaveTask()}) {
    for (const double value : values) {
      writer.Value(value);
    }
  }
  return writer.Take();
}

absl::Status MujocoEnvironment::RestoreState(absl::string_view state) {
  StateReader reader(state);
  absl::string_view id;
  if (!reader.Text(id) || id != spec_.environment_id) {
    return absl::InvalidArgumentError(
        absl::StrCat("not a saved state of ", spec_.environment_id, (id.empty() ? "" : " but of "), id));
  }
  Random::State random;
  int64_t elapsed_steps = 0;
  Anchor anchor{};
  std::vector<double> physics(mj_stateSize(model_.get(), kSavedState));
  std::vector<double> task(SaveTask().size());
  bool whole = reader.Value(random) && reader.Value(elapsed_steps) && reader.Value(anchor);
  for (std::vector<double>* values : {&physics, &task}) {
    for (double& value : *values) {
      whole = whole && reader.Value(value);
    }
  }
  if (!whole || !reader.AtEnd()) {
    return absl::InvalidArgumentError(
        absl::StrCat("the saved state of ", spec_.environment_id, " has a wrong length: ", state.size()));
  }
  random_.RestoreState(random);
  elapsed_steps_ = elapsed_steps;
  anchor_ = anchor;
  RestoreTask(task);
  // What mj_step derives it derives anew from this; the anchor is all that a task reads from before a step.
  mj_setState(model_.get(), data_.get(), physics.data(), kSavedState);
  return absl::OkStatus();
}

double SumOfSquares(std::span<const double> values) {
  double sum = 0;
  for (const double value : values) {
    sum += value * value;
  }
  return sum;
}

ObservationWriter::~ObservationWriter() { DEMORL_CHECK(rest_.empty()); }

void ObservationWriter::Append(double value) {
  DEMORL_CHECK(!rest_.empty());
  rest_.front() = value;
  rest_ = rest_.subspan(1);
}

void ObservationWriter::Append(std::span<const double> values) {
  DEMORL_CHECK(values.size() <= rest_.size());
  std::ranges::copy(values, rest_.begin());
  rest_ = rest_.subspan(values.size());
}

void ObservationWriter::AppendClipped(std::span<const double> values, double limit) {
  for (const double value : values) {
    Append(std::clamp(value, -limit, limit));
  }
}

}  // namespace demorl
