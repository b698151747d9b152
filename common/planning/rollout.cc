#include "common/planning/rollout.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "common/base/check.h"
#include "common/base/status_macros.h"

namespace demorl {
namespace {

enum class RowState : uint8_t { kRunning, kTerminated, kFailed };

bool AllFinite(std::span<const float> values) {
  return std::all_of(values.begin(), values.end(), [](float value) { return std::isfinite(value); });
}

// The rollouts of one request while they run.
class Roller {
 public:
  Roller(const DmdMpcOptions& options, const PlanningParts& parts, const RolloutRequest& request)
      : options_(options),
        parts_(parts),
        request_(request),
        num_rows_(static_cast<int>(request.members.size())),
        observation_size_(parts.model->observation_size()),
        action_size_(parts.model->action_size()),
        terminal_value_(NeedsValue(options) ? options.terminal_value : TerminalValueKind::kNone),
        rows_per_start_(num_rows_ / std::max<int>(1, request.model_streams.size())),
        draws_per_start_(request.draws_per_start > 0 ? request.draws_per_start : rows_per_start_),
        states_(num_rows_, RowState::kRunning),
        observations_(request.observations),
        members_(request.members) {}

  absl::StatusOr<Rollouts> Run(ActionSource& source) {
    Allocate();
    RETURN_IF_ERROR(parts_.model->BeginRollouts(request_.start_indices));
    const int horizon = request_.horizon_steps;
    for (int step = 0; step < horizon; ++step) {
      if (request_.out_of_time && request_.out_of_time()) {
        return absl::DeadlineExceededError("out of time for planning");
      }
      RETURN_IF_ERROR(source.Actions(step, observations_, &actions_));
      RecordActions(step);
      const bool last = step + 1 == horizon;
      if (last && ValueInLastSlot()) {
        RETURN_IF_ERROR(AddTerminalValue(step));
        if (!request_.keep_trace) {
          break;
        }
      }
      RETURN_IF_ERROR(StepModel(step));
    }
    if (terminal_value_ == TerminalValueKind::kAfterHorizon) {
      RETURN_IF_ERROR(AddTerminalValue(horizon));
    }
    for (int b = 0; b < num_rows_; ++b) {
      if (states_[b] == RowState::kFailed || !std::isfinite(rollouts_.returns[b])) {
        rollouts_.returns[b] = -std::numeric_limits<double>::infinity();
      }
    }
    return std::move(rollouts_);
  }

 private:
  bool ValueInLastSlot() const {
    return terminal_value_ == TerminalValueKind::kLastSlot || terminal_value_ == TerminalValueKind::kQ;
  }

  void Allocate() {
    const size_t rows = num_rows_;
    const size_t horizon = request_.horizon_steps;
    DEMORL_CHECK(observations_.size() == rows * observation_size_);
    DEMORL_CHECK(!request_.model_streams.empty() && rows % request_.model_streams.size() == 0);
    rollouts_.returns.assign(rows, 0.0);
    rollouts_.actions.assign(rows * horizon * action_size_, 0.0F);
    if (request_.keep_trace) {
      rollouts_.observations.assign(rows * (horizon + 1) * observation_size_, 0.0F);
      rollouts_.rewards.assign(rows * horizon, 0.0F);
      rollouts_.terminated.assign(rows * horizon, 0);
      rollouts_.num_steps.assign(rows, 0);
      RecordObservations(0);
    }
  }

  void RecordObservations(int step) {
    const size_t stride = static_cast<size_t>(request_.horizon_steps + 1) * observation_size_;
    for (int b = 0; b < num_rows_; ++b) {
      std::copy_n(&observations_[static_cast<size_t>(b) * observation_size_], observation_size_,
                  &rollouts_.observations[b * stride + static_cast<size_t>(step) * observation_size_]);
    }
  }

  // Clips the actions to the bound; a row whose action is not finite fails and stands still.
  void RecordActions(int step) {
    const auto bound = static_cast<float>(options_.action_bound);
    for (int b = 0; b < num_rows_; ++b) {
      const std::span<float> action(&actions_[static_cast<size_t>(b) * action_size_], action_size_);
      if (!AllFinite(action)) {
        states_[b] = RowState::kFailed;
        std::fill(action.begin(), action.end(), 0.0F);
      }
      float* record =
          &rollouts_.actions[(static_cast<size_t>(b) * request_.horizon_steps + step) * action_size_];
      for (int a = 0; a < action_size_; ++a) {
        action[a] = std::clamp(action[a], -bound, bound);
        record[a] = action[a];
      }
    }
  }

  absl::Status StepModel(int step) {
    DrawMembers();
    DrawPredictions();
    RETURN_IF_ERROR(parts_.model->Step(observations_, actions_, members_, draws_, &result_));
    const bool reward_counts = !(ValueInLastSlot() && step + 1 == request_.horizon_steps);
    const double weight = reward_counts ? std::pow(options_.discount, step) : 0.0;
    for (int b = 0; b < num_rows_; ++b) {
      Advance(b, step, weight);
    }
    if (request_.keep_trace) {
      RecordObservations(step + 1);
    }
    return absl::OkStatus();
  }

  void Advance(int row, int step, double weight) {
    if (states_[row] != RowState::kRunning) {
      return;
    }
    const std::span<const float> next(
        &result_.next_observations[static_cast<size_t>(row) * observation_size_], observation_size_);
    if (!std::isfinite(result_.rewards[row]) || !AllFinite(next)) {
      states_[row] = RowState::kFailed;
      return;
    }
    rollouts_.returns[row] += weight * result_.rewards[row];
    std::copy(next.begin(), next.end(), &observations_[static_cast<size_t>(row) * observation_size_]);
    if (request_.keep_trace) {
      const size_t entry = static_cast<size_t>(row) * request_.horizon_steps + step;
      rollouts_.rewards[entry] = result_.rewards[row];
      rollouts_.terminated[entry] = result_.terminated[row];
      rollouts_.num_steps[row] = step + 1;
    }
    if (result_.terminated[row] && options_.mask_terminations) {
      states_[row] = RowState::kTerminated;
    }
  }

  // Whether the row takes the draws of the row draws_per_start_ before it.
  bool SharesDraw(int row) const { return row % rows_per_start_ >= draws_per_start_; }

  void DrawMembers() {
    if (!request_.redraw_members) {
      return;
    }
    for (int b = 0; b < num_rows_; ++b) {
      members_[b] = SharesDraw(b) ? members_[b - draws_per_start_]
                                  : static_cast<int>(request_.member_streams[b / rows_per_start_].Index(
                                        parts_.model->num_elite_members()));
    }
  }

  // The deterministic reward estimate of the paper is its mean, draw 0; states are sampled by default (eq.
  // 12).
  void DrawPredictions() {
    if (!options_.sampled_reward && !options_.sampled_next_state) {
      return;
    }
    const size_t width = 1 + observation_size_;
    draws_.assign(num_rows_ * width, 0.0F);
    for (int b = 0; b < num_rows_; ++b) {
      Random& random = request_.model_streams[b / rows_per_start_];
      const std::span<float> draws(&draws_[b * width], width);
      if (SharesDraw(b)) {
        std::copy_n(&draws_[(b - draws_per_start_) * width], width, draws.begin());
        continue;
      }
      if (options_.sampled_reward) {
        random.FillNormal(draws.first(1));
      }
      if (options_.sampled_next_state) {
        random.FillNormal(draws.subspan(1));
      }
    }
  }

  // Adds discount^h V(x_h), or Q(x_h, u_h), where the rollout is still running.
  absl::Status AddTerminalValue(int step) {
    if (terminal_value_ == TerminalValueKind::kQ) {
      RETURN_IF_ERROR(parts_.value->ActionValue(observations_, actions_, &values_));
    } else {
      RETURN_IF_ERROR(parts_.value->Value(observations_, &values_));
    }
    const double weight = options_.discount_terminal_value ? std::pow(options_.discount, step) : 1.0;
    for (int b = 0; b < num_rows_; ++b) {
      if (states_[b] == RowState::kRunning) {
        rollouts_.returns[b] += weight * values_[b];
      }
    }
    return absl::OkStatus();
  }

  const DmdMpcOptions& options_;
  const PlanningParts& parts_;
  const RolloutRequest& request_;
  const int num_rows_;
  const int observation_size_;
  const int action_size_;
  const TerminalValueKind terminal_value_;
  const int rows_per_start_;
  const int draws_per_start_;
  std::vector<RowState> states_;
  std::vector<float> observations_;
  std::vector<int> members_;
  std::vector<float> actions_;
  std::vector<float> draws_;
  std::vector<float> values_;
  ModelStepResult result_;
  Rollouts rollouts_;
};

}  // namespace

absl::StatusOr<Rollouts> RollOut(const DmdMpcOptions& options, const PlanningParts& parts,
                                 const RolloutRequest& request, ActionSource& source) {
  return Roller(options, parts, request).Run(source);
}

}  // namespace demorl
