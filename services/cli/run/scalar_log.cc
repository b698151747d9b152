#include "services/cli/run/scalar_log.h"

#include <cmath>
#include <initializer_list>
#include <optional>
#include <utility>

#include "absl/time/clock.h"
#include "common/base/status_macros.h"
#include "services/cli/run_log/event_file.h"

namespace demorl {

struct ScalarLog::Impl {
  std::filesystem::path folder;
  std::unique_ptr<EventFileWriter> writer = nullptr;
  // The first row that this process has logged.
  std::optional<ProgressRow> first = std::nullopt;

  // NaN at first.
  double StepsPerSecond(const ProgressRow& row) {
    first = first.has_value() ? first : row;
    return static_cast<double>(row.environment_steps - first->environment_steps) /
           (row.wall_s - first->wall_s);
  }

  // Adds the figures that are known.
  absl::Status Add(int64_t step, std::initializer_list<std::pair<const char*, double>> scalars) {
    const absl::Time now = absl::Now();
    if (writer == nullptr) {
      ASSIGN_OR_RETURN(writer, EventFileWriter::Create(folder, now));
    }
    for (const auto& [tag, value] : scalars) {
      if (std::isfinite(value)) {
        RETURN_IF_ERROR(writer->AddScalar(tag, step, value, now));
      }
    }
    return absl::OkStatus();
  }
};

ScalarLog::ScalarLog(std::filesystem::path folder) : impl_(new Impl{.folder = std::move(folder)}) {}
ScalarLog::~ScalarLog() = default;

absl::Status ScalarLog::AddProgress(const ProgressRow& row) {
  const double steps_per_second = impl_->StepsPerSecond(row);
  return impl_->Add(row.environment_steps, {{"rollout/ep_rew_mean", row.episode_return},
                                            {"charts/episodic_return", row.episode_return},
                                            {"charts/SPS", steps_per_second},
                                            {"losses/qf_loss", row.critic_loss},
                                            {"losses/actor_loss", row.policy_loss},
                                            {"losses/alpha", row.entropy_temperature},
                                            {"time/fps", steps_per_second},
                                            {"train/n_updates", static_cast<double>(row.updates)},
                                            {"train/critic_loss", row.critic_loss},
                                            {"train/actor_loss", row.policy_loss},
                                            {"train/ent_coef", row.entropy_temperature},
                                            {"train/real_ratio", row.real_ratio},
                                            {"model/training_loss", row.training_loss},
                                            {"model/holdout_error", row.holdout_error},
                                            {"planner/horizon_steps", row.horizon_steps},
                                            {"planner/base_return", row.base_return},
                                            {"planner/plan_return", row.plan_return},
                                            {"planner/rows", static_cast<double>(row.planned_rows)},
                                            {"time/updates_per_second", row.updates_per_second}});
}

absl::Status ScalarLog::AddEvaluation(const EvaluationRow& row) {
  return impl_->Add(row.environment_steps, {{"eval/mean_reward", row.mean_return},
                                            {"eval/stddev_reward", row.stddev_return},
                                            {"eval/mean_ep_length", row.mean_length}});
}

}  // namespace demorl
