#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/concurrency/worker_pool.h"
#include "services/actor/core/environment_factory.h"
#include "services/actor/core/environment_planner.h"

namespace demorl {
namespace {

// One episode's share of the result.
struct EpisodeRecord {
  double episode_return = 0;
  int length = 0;
  bool terminated = false;
  int64_t observation_count = 0;
  std::vector<double> observation_sum;
  std::vector<double> observation_sum_squares;
};

class EpisodeRunner {
 public:
  // Borrows all three.
  EpisodeRunner(const EnvironmentFactory& factory, const TensorFile& policy, const EvaluationOptions& options)
      : factory_(factory), tensors_(policy), options_(options) {}

  absl::StatusOr<EpisodeRecord> Run(int index) {
    const uint64_t seed = SplitSeed(options_.seed, "evaluation", index);
    ASSIGN_OR_RETURN(const std::unique_ptr<Environment> environment, factory_(seed));
    const EnvironmentSpec& spec = environment->spec();
    RETURN_IF_ERROR(MakeActor(spec));
    ASSIGN_OR_RETURN(const int limit, StepLimit(spec));
    Random random(SplitSeed(seed, "action"));
    observation_.resize(spec.observation_size);
    action_.resize(spec.action_size);
    command_.resize(spec.action_size);
    EpisodeRecord record{.observation_sum = std::vector<double>(spec.observation_size),
                         .observation_sum_squares = std::vector<double>(spec.observation_size)};
    bool running = Visit(environment->Reset(), &record);
    while (running && record.length < limit) {
      if (options_.cancelled && options_.cancelled()) {
        return absl::CancelledError("the evaluation was cancelled");
      }
      ASSIGN_OR_RETURN(running, StepOnce(*environment, random, &record));
    }
    return record;
  }

 private:
  // Once for all episodes.
  absl::Status MakeActor(const EnvironmentSpec& spec) {
    if (policy_ != nullptr || planner_ != nullptr) {
      return absl::OkStatus();
    }
    ASSIGN_OR_RETURN(planner_, EnvironmentPlanner::Create(options_.planners));
    if (planner_ == nullptr) {
      ASSIGN_OR_RETURN(policy_, MlpPolicy::Create(tensors_, spec.observation_size, spec.action_size));
    }
    return absl::OkStatus();
  }

  absl::StatusOr<int> StepLimit(const EnvironmentSpec& spec) const {
    if (options_.max_episode_steps > 0) {
      return options_.max_episode_steps;
    }
    if (spec.max_episode_steps <= 0) {
      return absl::InvalidArgumentError(absl::StrCat("episodes of ", spec.environment_id,
                                                     " may never end; set max_episode_steps to at least 1"));
    }
    return std::numeric_limits<int>::max();
  }

  // Takes over a finite observation and counts it.
  bool Visit(const Timestep& timestep, EpisodeRecord* record) {
    for (const double value : timestep.observation) {
      if (!std::isfinite(value)) {
        return false;
      }
    }
    for (size_t i = 0; i < observation_.size(); ++i) {
      const double value = timestep.observation[i];
      observation_[i] = static_cast<float>(value);
      record->observation_sum[i] += value;
      record->observation_sum_squares[i] += value * value;
    }
    ++record->observation_count;
    return true;
  }

  absl::Status ChooseAction(const Environment& environment, Random& random, bool first_step) {
    if (planner_ != nullptr) {
      return planner_->Plan(environment, observation_, first_step, action_).status();
    }
    if (options_.stochastic) {
      policy_->Sample(observation_, random, action_);
    } else {
      policy_->Mean(observation_, action_);
    }
    return absl::OkStatus();
  }

  // False once the episode is over.
  absl::StatusOr<bool> StepOnce(Environment& environment, Random& random, EpisodeRecord* record) {
    RETURN_IF_ERROR(ChooseAction(environment, random, /*first_step=*/record->length == 0));
    for (size_t i = 0; i < action_.size(); ++i) {
      command_[i] = std::isfinite(action_[i]) ? action_[i] : 0;
    }
    const Timestep timestep = environment.Step(command_);
    if (!std::isfinite(timestep.reward) || !Visit(timestep, record)) {
      return false;
    }
    record->episode_return += timestep.reward;
    ++record->length;
    record->terminated = timestep.terminated;
    return timestep.step_type != StepType::kLast;
  }

  const EnvironmentFactory& factory_;
  const TensorFile& tensors_;
  const EvaluationOptions& options_;
  // One of the two.
  std::unique_ptr<MlpPolicy> policy_;
  std::unique_ptr<EnvironmentPlanner> planner_;
  std::vector<float> observation_, action_;
  std::vector<double> command_;
};

// In episode order, so that rounding does not depend on threads.
EvaluationResult Merge(const std::vector<EpisodeRecord>& records) {
  EvaluationResult result;
  result.observation_sum.resize(records.front().observation_sum.size());
  result.observation_sum_squares.resize(result.observation_sum.size());
  for (const EpisodeRecord& record : records) {
    result.returns.push_back(record.episode_return);
    result.lengths.push_back(record.length);
    result.terminated.push_back(record.terminated);
    result.observation_count += record.observation_count;
    for (size_t i = 0; i < result.observation_sum.size(); ++i) {
      result.observation_sum[i] += record.observation_sum[i];
      result.observation_sum_squares[i] += record.observation_sum_squares[i];
    }
  }
  return result;
}

}  // namespace

absl::StatusOr<EvaluationResult> EvaluateOn(const EnvironmentFactory& factory, const TensorFile& policy,
                                            const EvaluationOptions& options) {
  if (options.num_episodes < 1 || options.max_episode_steps < 0) {
    return absl::InvalidArgumentError(absl::StrCat("num_episodes ", options.num_episodes,
                                                   " must be at least 1 and max_episode_steps ",
                                                   options.max_episode_steps, " not negative"));
  }
  std::vector<EpisodeRecord> records(options.num_episodes);
  std::vector<absl::Status> statuses(options.num_episodes);
  std::atomic<int> next{0};
  std::atomic<bool> failed{false};
  WorkerPool pool(std::clamp(options.num_threads, 1, options.num_episodes), "actor-eval");
  pool.Run([&](int) {
    EpisodeRunner runner(factory, policy, options);
    for (int i = next.fetch_add(1); i < options.num_episodes && !failed; i = next.fetch_add(1)) {
      absl::StatusOr<EpisodeRecord> record = runner.Run(i);
      statuses[i] = record.status();
      if (record.ok()) {
        records[i] = *std::move(record);
      } else {
        failed = true;
      }
    }
  });
  for (const absl::Status& status : statuses) {
    RETURN_IF_ERROR(status);
  }
  return Merge(records);
}

double EvaluationResult::mean_return() const {
  double sum = 0;
  for (const double value : returns) {
    sum += value;
  }
  return returns.empty() ? 0 : sum / returns.size();
}

double EvaluationResult::stddev_return() const {
  const double mean = mean_return();
  double sum_squares = 0;
  for (const double value : returns) {
    sum_squares += (value - mean) * (value - mean);
  }
  return returns.empty() ? 0 : std::sqrt(sum_squares / returns.size());
}

double EvaluationResult::mean_length() const {
  double sum = 0;
  for (const int length : lengths) {
    sum += length;
  }
  return lengths.empty() ? 0 : sum / lengths.size();
}

}  // namespace demorl
