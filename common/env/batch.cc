#include "common/env/batch.h"

#include <algorithm>
#include <atomic>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/base/random.h"
#include "common/base/status_macros.h"
#include "common/env/registry.h"
#include "common/env/state_codec.h"

namespace demorl {

absl::StatusOr<std::unique_ptr<BatchedEnvironments>> BatchedEnvironments::Create(const Options& options) {
  if (options.num_environments < 1 || options.num_threads < 1) {
    return absl::InvalidArgumentError(absl::StrCat("a batch of ", options.num_environments,
                                                   " environments on ", options.num_threads,
                                                   " threads; both must be at least 1"));
  }
  std::vector<std::unique_ptr<Environment>> environments;
  for (int i = 0; i < options.num_environments; ++i) {
    ASSIGN_OR_RETURN(std::unique_ptr<Environment> environment,
                     MakeEnvironment(options.environment_id, SplitSeed(options.seed, "environment", i)));
    environments.push_back(std::move(environment));
  }
  const int num_threads = std::min(options.num_threads, options.num_environments);
  return std::unique_ptr<BatchedEnvironments>(new BatchedEnvironments(std::move(environments), num_threads));
}

BatchedEnvironments::BatchedEnvironments(std::vector<std::unique_ptr<Environment>> environments,
                                         int num_threads)
    : environments_(std::move(environments)),
      timesteps_(environments_.size()),
      observations_(environments_.size() * environments_.front()->spec().observation_size),
      pool_(num_threads, "env-batch") {}

void BatchedEnvironments::Keep(int index, const Timestep& timestep) {
  const size_t width = spec().observation_size;
  const std::span<double> row = std::span(observations_).subspan(index * width, width);
  if (timestep.observation.data() != row.data()) {
    std::ranges::copy(timestep.observation, row.begin());
  }
  timesteps_[index] = timestep;
  timesteps_[index].observation = row;
}

void BatchedEnvironments::AdvanceAll() {
  std::atomic<int> next = 0;
  pool_.Run([this, &next](int) {
    for (int i = next.fetch_add(1, std::memory_order_relaxed); i < size();
         i = next.fetch_add(1, std::memory_order_relaxed)) {
      Advance(i);
    }
  });
}

void BatchedEnvironments::Advance(int index) {
  Environment& environment = *environments_[index];
  if (actions_.empty() || timesteps_[index].step_type == StepType::kLast) {
    Keep(index, environment.Reset());
    return;
  }
  const size_t width = spec().action_size;
  Keep(index, environment.Step(actions_.subspan(index * width, width)));
}

std::span<const Timestep> BatchedEnvironments::Reset() {
  actions_ = {};
  AdvanceAll();
  return timesteps_;
}

std::span<const Timestep> BatchedEnvironments::Step(std::span<const double> actions) {
  DEMORL_CHECK(actions.size() == environments_.size() * spec().action_size);
  actions_ = actions;
  AdvanceAll();
  return timesteps_;
}

std::string BatchedEnvironments::SaveState() const {
  StateWriter writer;
  writer.Value(static_cast<uint64_t>(environments_.size()));
  for (size_t i = 0; i < environments_.size(); ++i) {
    writer.Text(environments_[i]->SaveState());
    writer.Value(timesteps_[i].step_type);
    writer.Value(timesteps_[i].reward);
    writer.Value(timesteps_[i].terminated);
    writer.Value(timesteps_[i].truncated);
  }
  for (const double value : observations_) {
    writer.Value(value);
  }
  return writer.Take();
}

absl::Status BatchedEnvironments::RestoreState(absl::string_view state) {
  StateReader reader(state);
  uint64_t count = 0;
  if (!reader.Value(count) || count != environments_.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("saved state of ", count, " environments for a batch of ", environments_.size()));
  }
  bool whole = true;
  for (size_t i = 0; i < environments_.size() && whole; ++i) {
    absl::string_view environment_state;
    Timestep timestep;
    whole = reader.Text(environment_state) && reader.Value(timestep.step_type) &&
            reader.Value(timestep.reward) && reader.Value(timestep.terminated) &&
            reader.Value(timestep.truncated);
    if (whole) {
      RETURN_IF_ERROR(environments_[i]->RestoreState(environment_state));
      timestep.observation =
          std::span(observations_).subspan(i * spec().observation_size, spec().observation_size);
      timesteps_[i] = timestep;
    }
  }
  for (double& value : observations_) {
    whole = whole && reader.Value(value);
  }
  if (!whole || !reader.AtEnd()) {
    return absl::InvalidArgumentError(absl::StrCat("saved state of a batch of ", spec().environment_id,
                                                   " has a wrong length: ", state.size()));
  }
  return absl::OkStatus();
}

}  // namespace demorl
