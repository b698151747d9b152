#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "common/planning/online_planner.h"

namespace demorl {

// What a fake planner was asked, and what it answers next.
struct FakePlannerScript {
  struct Question {
    std::vector<float> observation;
    bool first_step = false;
    std::string simulator_state;
  };
  std::vector<Question> questions;
  PlannedAction answer;
  absl::Status status;
};

// Answers each question as its script says.
class FakePlanner final : public OnlinePlanner {
 public:
  explicit FakePlanner(std::shared_ptr<FakePlannerScript> script) : script_(std::move(script)) {}

  absl::StatusOr<PlannedAction> Plan(const PlanningState& state) override {
    script_->questions.push_back({.observation = {state.observation.begin(), state.observation.end()},
                                  .first_step = state.first_step,
                                  .simulator_state = std::string(state.simulator_state)});
    return script_->status.ok() ? absl::StatusOr<PlannedAction>(script_->answer) : script_->status;
  }

 private:
  const std::shared_ptr<FakePlannerScript> script_;
};

// One script for all planners; not for several threads.
inline PlannerSource FakePlanners(std::shared_ptr<FakePlannerScript> script, bool true_simulator = false) {
  return {.make_planner = [script]() -> absl::StatusOr<std::unique_ptr<OnlinePlanner>> {
            return std::make_unique<FakePlanner>(script);
          },
          .true_simulator = true_simulator};
}

}  // namespace demorl
