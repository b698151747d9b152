#include "common/planning/simulator_model.h"

#include <cmath>
#include <cstring>

#include "common/planning/dmd_mpc.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"

namespace demorl {
namespace {

using ::demorl::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// A pole that falls over unless pushed: angle'' = 10 angle + 20 action, 0.05 s steps. The angular velocity is
// not observed, so that a plan from the observation alone could not be right. Ends when |angle| > 0.5, cut
// after 300 steps.
class HiddenVelocityPole final : public Environment {
 public:
  HiddenVelocityPole() {
    spec_.observation_size = 1;
    spec_.action_size = 1;
    spec_.max_episode_steps = 300;
  }

  const EnvironmentSpec& spec() const override { return spec_; }

  Timestep Reset() override {
    state_ = {.angle = 0.05, .velocity = 0.2, .step = 0};
    return Answer(StepType::kFirst);
  }

  Timestep Step(std::span<const double> action) override {
    state_.velocity += 0.05 * (10 * state_.angle + 20 * action[0]);
    state_.angle += 0.05 * state_.velocity;
    ++state_.step;
    const bool terminated = std::abs(state_.angle) > 0.5;
    const bool truncated = state_.step >= spec_.max_episode_steps;
    Timestep timestep = Answer(terminated || truncated ? StepType::kLast : StepType::kMid);
    timestep.reward = 1 - state_.angle * state_.angle;
    timestep.terminated = terminated;
    timestep.truncated = truncated;
    return timestep;
  }

  std::string SaveState() const override { return {reinterpret_cast<const char*>(&state_), sizeof(state_)}; }

  absl::Status RestoreState(absl::string_view state) override {
    if (state.size() != sizeof(state_)) {
      return absl::InvalidArgumentError("state of another task");
    }
    std::memcpy(&state_, state.data(), sizeof(state_));
    return absl::OkStatus();
  }

 private:
  struct State {
    double angle = 0;
    double velocity = 0;
    int step = 0;
  };

  Timestep Answer(StepType type) {
    observation_ = state_.angle;
    return {.step_type = type, .observation = {&observation_, 1}};
  }

  EnvironmentSpec spec_;
  State state_;
  double observation_ = 0;
};

TEST(SimulatorModelTest, RollsEachRowOnFromItsOwnState) {
  HiddenVelocityPole pole;
  pole.Reset();
  SimulatorModel model(std::make_unique<HiddenVelocityPole>());
  ASSERT_OK(model.SetStartStates({pole.SaveState()}));
  const std::vector<int> starts = {0, 0};
  ASSERT_OK(model.BeginRollouts(starts));
  std::vector<float> observations = {0.05F, 0.05F};
  const std::vector<float> actions = {0.5F, -0.5F};
  const std::vector<int> members = {0, 0};
  ModelStepResult result;
  for (int h = 0; h < 3; ++h) {
    ASSERT_OK(model.Step(observations, actions, members, {}, &result));
    observations = result.next_observations;
  }
  for (int row = 0; row < 2; ++row) {
    HiddenVelocityPole alone;
    alone.Reset();
    const double action = actions[row];
    double angle = 0;
    for (int h = 0; h < 3; ++h) {
      angle = alone.Step({&action, 1}).observation[0];
    }
    EXPECT_FLOAT_EQ(observations[row], angle);
  }
}

TEST(SimulatorModelTest, AnEndedRowStandsStillAndEarnsNothing) {
  HiddenVelocityPole pole;
  pole.Reset();
  SimulatorModel model(std::make_unique<HiddenVelocityPole>());
  ASSERT_OK(model.SetStartStates({pole.SaveState()}));
  const std::vector<int> starts = {0};
  ASSERT_OK(model.BeginRollouts(starts));
  std::vector<float> observations = {0.05F};
  const std::vector<float> actions = {1};
  const std::vector<int> members = {0};
  ModelStepResult result;
  do {
    ASSERT_OK(model.Step(observations, actions, members, {}, &result));
    observations = result.next_observations;
  } while (!result.terminated[0]);
  ASSERT_OK(model.Step(observations, actions, members, {}, &result));
  EXPECT_EQ(result.next_observations, observations);
  EXPECT_EQ(result.rewards[0], 0);
}

TEST(SimulatorModelTest, RefusesAStateOfAnotherTaskAndAMissingOne) {
  SimulatorModel model(std::make_unique<HiddenVelocityPole>());
  EXPECT_THAT(model.SetStartStates({"short"}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("another")));
  const std::vector<int> starts = {0};
  EXPECT_THAT(model.BeginRollouts(starts),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("0 of 0")));
}

TEST(SimulatorModelTest, PlainDmdMpcKeepsThePoleUp) {
  SimulatorModel model(std::make_unique<HiddenVelocityPole>());
  const DmdMpcOptions options{.shift = ShiftKind::kPreviousPlan,
                              .population_size = 40,
                              .step_size = 0.9,
                              .terminal_value = TerminalValueKind::kNone,
                              .model_draw = ModelDrawKind::kSimulator};
  ASSERT_OK_AND_ASSIGN(const auto planner, DmdMpc::Create(options, {.model = &model}));
  HiddenVelocityPole pole;
  Timestep timestep = pole.Reset();
  std::vector<float> previous;
  for (int step = 0; step < 200; ++step) {
    ASSERT_OK(model.SetStartStates({pole.SaveState()}));
    const std::vector<float> start = {static_cast<float>(timestep.observation[0])};
    const PlanningTask task{.horizon_steps = 12,
                            .start_observations = start,
                            .previous_plans = previous,
                            .seed = static_cast<uint64_t>(step)};
    ASSERT_OK_AND_ASSIGN(const ImprovedPlans improved, planner->Improve(task));
    const double action = improved.plans[0];
    timestep = pole.Step({&action, 1});
    ASSERT_FALSE(timestep.terminated) << "fell at step " << step;
    previous = improved.plans;
  }
}

}  // namespace
}  // namespace demorl
