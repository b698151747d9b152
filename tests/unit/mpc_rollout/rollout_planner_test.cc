#include "services/mpc_rollout/core/rollout_planner.h"

#include <cmath>
#include <limits>

#include "absl/strings/str_cat.h"
#include "common/env/registry.h"
#include "common/policy/mlp_policy.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "services/mpc_rollout/core/planning_networks.h"
#include "tests/fakes/policies.h"
#include "tests/testing/status_matchers.h"
#include "tests/unit/mpc_rollout/planner_tensors.h"

namespace demorl {
namespace {

using ::demorl::config::v1::PlannerConfig;
using ::demorl::testing::ConstantDynamics;
using ::demorl::testing::Filled;
using ::demorl::testing::LinearValue;
using ::demorl::testing::StatusIs;
using ::testing::Each;
using ::testing::FloatNear;
using ::testing::HasSubstr;

constexpr int kObservations = 3;
constexpr int kActions = 2;

bool Never(std::span<const float>) { return false; }
bool AboveQuarter(std::span<const float> observation) { return observation[0] > 0.25F; }

PlannerConfig SmallConfig() {
  PlannerConfig config;
  config.set_population_size(20);
  config.mutable_horizon()->set_start_value(4);
  config.mutable_horizon()->set_end_value(4);
  return config;
}

RolloutPlanner::Options SmallOptions(TerminationRule rule = Never) {
  return {.config = SmallConfig(),
          .discount = 0.5,
          .observation_size = kObservations,
          .action_size = kActions,
          .termination_rule = rule,
          .seed = 7};
}

std::unique_ptr<RolloutPlanner> MakePlanner(const RolloutPlanner::Options& options) {
  auto planner = RolloutPlanner::Create(options);
  EXPECT_OK(planner);
  return *std::move(planner);
}

void SetAll(RolloutPlanner& planner) {
  ASSERT_OK(planner.SetDynamics(ConstantDynamics(kObservations, kActions, 1, 1, 0.1F), 3));
  ASSERT_OK(planner.SetPolicy(ConstantPolicy(kObservations, kActions, 0.2F), 5));
  ASSERT_OK(planner.SetValue(LinearValue(kObservations, kActions, {10, 11}, 0), 5));
}

TEST(PlanningNetworksTest, PolicyEqualsTheActorsPolicy) {
  const TensorFile file = RandomPolicy(11, {64, 32}, 3, 1);
  ASSERT_OK_AND_ASSIGN(const auto network, MakePolicyNetwork(file, 11, 3, "cpu"));
  ASSERT_OK_AND_ASSIGN(const auto actor, MlpPolicy::Create(file, 11, 3));
  Random random(2);
  std::vector<float> observations(2000 * 11);  // more rows than one tile
  random.FillNormal(observations);
  std::vector<float> actions;
  ASSERT_OK(network->Mean(observations, &actions));
  ASSERT_EQ(actions.size(), 2000 * 3);
  std::vector<float> expected(3);
  for (int row = 0; row < 2000; ++row) {
    actor->Mean({&observations[row * 11], 11}, expected);
    for (int a = 0; a < 3; ++a) {
      ASSERT_NEAR(actions[row * 3 + a], expected[a], 1e-5);
    }
  }
  const std::vector<float> zeros(2000 * 3);
  std::vector<float> sampled;
  ASSERT_OK(network->Sample(observations, zeros, &sampled));
  EXPECT_EQ(sampled, actions);
  const std::vector<float> ones(2000 * 3, 1.0F);
  ASSERT_OK(network->Sample(observations, ones, &sampled));
  for (size_t i = 0; i < sampled.size(); ++i) {
    ASSERT_GE(sampled[i], actions[i]);  // stddevs are positive
  }
}

TEST(PlanningNetworksTest, ValueIsTheLeastQAtThePolicysActionOrTheValueNetwork) {
  ASSERT_OK_AND_ASSIGN(const auto policy, MakePolicyNetwork(ConstantPolicy(3, 2, 0.5F), 3, 2, "cpu"));
  const auto current = [&] { return policy.get(); };
  TensorFile file = LinearValue(3, 2, {10, 8}, 3);
  ASSERT_OK_AND_ASSIGN(const auto q_only, MakeValueNetwork(file, 3, 2, "cpu", current));
  const std::vector<float> observations(6, 0.3F);
  std::vector<float> values;
  ASSERT_OK(q_only->Value(observations, &values));
  EXPECT_THAT(values, Each(FloatNear(8 + 3 * 2 * std::tanh(0.5F), 1e-5)));
  const std::vector<float> actions(4, 0.25F);
  ASSERT_OK(q_only->ActionValue(observations, actions, &values));
  EXPECT_THAT(values, Each(FloatNear(8 + 3 * 0.5F, 1e-5)));

  file.tensors["v.hidden.0.weight"] = Filled({2, 3}, 1);
  file.tensors["v.hidden.0.bias"] = Filled({2}, 0);
  file.tensors["v.out.weight"] = Filled({1, 2}, 1);
  file.tensors["v.out.bias"] = Filled({1}, 0);
  ASSERT_OK_AND_ASSIGN(const auto with_value, MakeValueNetwork(file, 3, 2, "cpu", current));
  ASSERT_OK(with_value->Value(observations, &values));
  EXPECT_THAT(values, Each(FloatNear(1.8F, 1e-5)));
}

TEST(PlanningNetworksTest, ValuesAreInUnitsOfTheTasksReward) {
  TensorFile file = LinearValue(3, 2, {10, 8}, 3);
  const std::vector<float> observations(3, 0.3F), actions(2, 0.25F);
  std::vector<float> values;
  for (const bool has_value_network : {false, true}) {
    if (has_value_network) {
      file.tensors["v.hidden.0.weight"] = Filled({2, 3}, 1);
      file.tensors["v.hidden.0.bias"] = Filled({2}, 0);
      file.tensors["v.out.weight"] = Filled({1, 2}, 1);
      file.tensors["v.out.bias"] = Filled({1}, 0);
    }
    file.metadata["reward_scale"] = "0.1";
    ASSERT_OK_AND_ASSIGN(const auto network, MakeValueNetwork(file, 3, 2, "cpu", [] { return nullptr; }));
    ASSERT_OK(network->ActionValue(observations, actions, &values));
    EXPECT_THAT(values, Each(FloatNear(95, 1e-3)));
  }
  ASSERT_OK_AND_ASSIGN(const auto network, MakeValueNetwork(file, 3, 2, "cpu", [] { return nullptr; }));
  ASSERT_OK(network->Value(observations, &values));
  EXPECT_THAT(values, Each(FloatNear(18, 1e-3)));
  file.metadata["reward_scale"] = "0";
  EXPECT_THAT(MakeValueNetwork(file, 3, 2, "cpu", [] { return nullptr; }).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("want a number > 0")));
}

TEST(PlanningNetworksTest, ValuesNormaliseHiddenLayersWhereTheLearnerDoes) {
  TensorFile file = LinearValue(2, 1, {0, 0}, 0);
  for (const char* prefix : {"q.0", "q.1"}) {
    file.tensors[absl::StrCat(prefix, ".hidden.0.weight")] = {{2, 3}, {1, 1, 0, 0, 0, 1}};
    file.tensors[absl::StrCat(prefix, ".hidden.0.bias")] = Filled({2}, 0);
    file.tensors[absl::StrCat(prefix, ".out.weight")] = {{1, 2}, {5, 7}};
    file.tensors[absl::StrCat(prefix, ".out.bias")] = Filled({1}, 0);
  }
  // Hidden units 3 and 1: normalised 1 and -1.
  const std::vector<float> observations = {1, 2}, actions = {1};
  std::vector<float> values;
  for (const auto& [layer_norm, expected] : {std::pair("0", 22.0F), std::pair("1", 5.0F)}) {
    file.metadata["layer_norm"] = layer_norm;
    ASSERT_OK_AND_ASSIGN(const auto network, MakeValueNetwork(file, 2, 1, "cpu", [] { return nullptr; }));
    ASSERT_OK(network->ActionValue(observations, actions, &values));
    EXPECT_THAT(values, Each(FloatNear(expected, 1e-3)));
  }
  file.metadata["layer_norm"] = "yes";
  EXPECT_THAT(MakeValueNetwork(file, 2, 1, "cpu", [] { return nullptr; }).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("want 0 or 1")));
}

TEST(RolloutPlannerTest, IsReadyWhenWhatTheConfigurationNeedsIsThere) {
  const auto planner = MakePlanner(SmallOptions());
  const std::vector<float> starts(kObservations, 0);
  EXPECT_THAT(planner->PlanRound(starts, 0),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("dynamics")));
  ASSERT_OK(planner->SetDynamics(ConstantDynamics(kObservations, kActions, 1, 1, 0.1F), 3));
  ASSERT_OK(planner->SetPolicy(ConstantPolicy(kObservations, kActions, 0.2F), 5));
  EXPECT_FALSE(planner->ready());
  ASSERT_OK(planner->SetValue(LinearValue(kObservations, kActions, {10, 11}, 0), 5));
  EXPECT_TRUE(planner->ready());
}

TEST(RolloutPlannerTest, RoundsPredictRowsAndReturns) {
  RolloutPlanner::Options options = SmallOptions();
  options.first_planning_round = 40;
  const auto planner = MakePlanner(options);
  SetAll(*planner);
  const std::vector<float> starts(5 * kObservations, 0);
  ASSERT_OK_AND_ASSIGN(const PlanningReport report, planner->PlanRound(starts, 0));
  EXPECT_EQ(report.horizon_steps, 4);
  EXPECT_EQ(report.rows.num_rows(), 20);
  // 1 + 1/2 + 1/4 + 1/8 + 10 / 16, whatever the plan does.
  EXPECT_NEAR(report.base_return, 2.5, 1e-4);
  EXPECT_NEAR(report.plan_return, 2.5, 1e-4);
  const Segment& segment = report.rows.segments[2];
  EXPECT_THAT(segment.rewards, Each(FloatNear(1, 1e-5)));
  EXPECT_NEAR(segment.observations[4 * kObservations], 0.4, 1e-3);
  EXPECT_EQ(segment.provenance->planning_round, 40);
  EXPECT_EQ(segment.provenance->dynamics_version, 3);
  EXPECT_THAT(segment.policy_versions, Each(5));
  ASSERT_OK_AND_ASSIGN(const PlanningReport next, planner->PlanRound(starts, 0));
  EXPECT_EQ(next.rows.segments[0].provenance->planning_round, 41);
  EXPECT_NE(next.rows.segments[0].actions, report.rows.segments[0].actions);
}

TEST(RolloutPlannerTest, TheTasksRuleEndsRows) {
  const auto planner = MakePlanner(SmallOptions(AboveQuarter));
  SetAll(*planner);
  const std::vector<float> starts(kObservations, 0);
  ASSERT_OK_AND_ASSIGN(const PlanningReport report, planner->PlanRound(starts, 0));
  ASSERT_EQ(report.rows.segments.size(), 1);
  EXPECT_EQ(report.rows.segments[0].num_steps, 3);  // 0.1, 0.2, 0.3
  EXPECT_TRUE(report.rows.segments[0].terminated);
  EXPECT_NEAR(report.plan_return, 1.75, 1e-4);
}

TEST(RolloutPlannerTest, ATaskWithoutARuleNeedsAClassifier) {
  const auto planner = MakePlanner(SmallOptions(nullptr));
  EXPECT_THAT(planner->SetDynamics(ConstantDynamics(kObservations, kActions, 1, 1, 0.1F), 3),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("classifier")));
}

TEST(RolloutPlannerTest, RefusedSnapshotsLeaveTheLastGoodOnes) {
  const auto planner = MakePlanner(SmallOptions());
  SetAll(*planner);
  TensorFile bad = ConstantDynamics(kObservations, kActions, 1, 1, 0.1F);
  bad.tensors["ensemble.1.bias"].values[0] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THAT(planner->SetDynamics(bad, 4),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("ensemble")));
  EXPECT_THAT(planner->SetPolicy(ConstantPolicy(kObservations + 1, kActions, 0), 9),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("policy.hidden.0.weight")));
  TensorFile value = LinearValue(kObservations, kActions, {1, 2}, 0);
  value.tensors.erase("q.1.out.weight");
  EXPECT_THAT(planner->SetValue(value, 9),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("q.1.out.weight")));
  EXPECT_EQ(planner->dynamics_version(), 3);
  EXPECT_EQ(planner->policy_version(), 5);
  const std::vector<float> starts(kObservations, 0);
  ASSERT_OK_AND_ASSIGN(const PlanningReport report, planner->PlanRound(starts, 0));
  EXPECT_NEAR(report.plan_return, 2.5, 1e-4);
}

TEST(RolloutPlannerTest, ARoundWithoutAnyFinitePlanIsDataLoss) {
  const auto planner = MakePlanner(SmallOptions());
  SetAll(*planner);
  ASSERT_OK(planner->SetDynamics(ConstantDynamics(kObservations, kActions, 1, 1, 3e38F), 4));
  const std::vector<float> starts(2 * kObservations, 1e38F);
  EXPECT_THAT(planner->PlanRound(starts, 0), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("dynamics 4")));
}

TEST(RolloutPlannerTest, SomeNonFiniteStartsAreSkippedAndCounted) {
  const auto planner = MakePlanner(SmallOptions());
  SetAll(*planner);
  ASSERT_OK(planner->SetDynamics(ConstantDynamics(kObservations, kActions, 1, 1, 1e37F), 4));
  std::vector<float> starts(2 * kObservations, 0);
  starts[0] = 3.3e38F;  // overflows within the horizon
  ASSERT_OK_AND_ASSIGN(const PlanningReport report, planner->PlanRound(starts, 0));
  EXPECT_EQ(report.skipped_starts, 1);
  EXPECT_EQ(report.rows.num_rows(), 4);
}

TEST(RolloutPlannerTest, StoredActionsAreNormalisedWhateverThePlannersBound) {
  RolloutPlanner::Options options = SmallOptions();
  options.config.set_action_bound(1.4);
  options.config.set_noise_stddev(3);
  const auto planner = MakePlanner(options);
  SetAll(*planner);
  const std::vector<float> starts(20 * kObservations, 0);
  ASSERT_OK_AND_ASSIGN(const PlanningReport report, planner->PlanRound(starts, 0));
  for (const Segment& segment : report.rows.segments) {
    EXPECT_THAT(segment.actions, Each(::testing::AllOf(::testing::Ge(-1.0F), ::testing::Le(1.0F))));
  }
}

TEST(RolloutPlannerTest, ARestoredPlannerContinuesBitByBit) {
  const auto first = MakePlanner(SmallOptions());
  SetAll(*first);
  const std::vector<float> starts(3 * kObservations, 0.1F);
  ASSERT_OK(first->PlanRound(starts, 0));
  const auto second = MakePlanner(SmallOptions());
  SetAll(*second);
  const std::string state = first->SaveState();
  ASSERT_OK(second->RestoreState(state));
  ASSERT_OK_AND_ASSIGN(const PlanningReport a, first->PlanRound(starts, 0));
  ASSERT_OK_AND_ASSIGN(const PlanningReport b, second->PlanRound(starts, 0));
  EXPECT_EQ(a.rows.segments[1].actions, b.rows.segments[1].actions);
  EXPECT_EQ(a.rows.segments[1].observations, b.rows.segments[1].observations);
  std::string damaged = state;
  damaged[9] ^= 1;
  EXPECT_THAT(second->RestoreState(damaged), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("damaged")));
  EXPECT_THAT(second->RestoreState("short"), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("5 bytes")));
}

TEST(RolloutPlannerTest, ACancelledRoundIsGivenUp) {
  RolloutPlanner::Options options = SmallOptions();
  options.cancelled = [] { return true; };
  const auto planner = MakePlanner(options);
  SetAll(*planner);
  const std::vector<float> starts(kObservations, 0);
  EXPECT_THAT(planner->PlanRound(starts, 0), StatusIs(absl::StatusCode::kCancelled, HasSubstr("given up")));
}

TEST(RolloutPlannerTest, OnlinePlansFallBackOnThePolicyWithoutTimeOrModel) {
  const auto planner = MakePlanner(SmallOptions());
  const std::vector<float> observation(kObservations, 0);
  constexpr absl::Duration kPlenty = absl::Seconds(60);
  EXPECT_THAT(
      planner->Plan(observation, true, 0, kPlenty),
      StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("fall back on: the planner is not ready")));
  ASSERT_OK(planner->SetPolicy(ConstantPolicy(kObservations, kActions, 0.2F), 5));
  ASSERT_OK_AND_ASSIGN(const OnlinePlan early, planner->Plan(observation, true, 0, kPlenty));
  EXPECT_TRUE(early.fallback);
  EXPECT_THAT(planner->Plan(observation, true, 0, absl::InfiniteDuration()),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("dynamics missing, policy here")));
  EXPECT_THAT(early.actions, Each(FloatNear(std::tanh(0.2F), 1e-5)));
  SetAll(*planner);
  ASSERT_OK_AND_ASSIGN(const OnlinePlan late, planner->Plan(observation, false, 0, absl::ZeroDuration()));
  EXPECT_TRUE(late.fallback);
  EXPECT_EQ(late.actions.size(), kActions);
  ASSERT_OK_AND_ASSIGN(const OnlinePlan plan, planner->Plan(observation, false, 0, absl::InfiniteDuration()));
  EXPECT_FALSE(plan.fallback);
  EXPECT_EQ(plan.actions.size(), 4 * kActions);
  EXPECT_NEAR(plan.predicted_return, 2.5, 1e-4);
  EXPECT_THAT(planner->Plan({observation.data(), 2}, false, 0, absl::InfiniteDuration()),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("2 values")));
}

TEST(RolloutPlannerTest, WithoutAPolicyTheNextActionOfThePlanBeforeStandsIn) {
  RolloutPlanner::Options options = SmallOptions();
  options.config.set_shift_model(demorl::config::v1::SHIFT_MODEL_PREVIOUS_PLAN);
  options.config.set_terminal_value(demorl::config::v1::TERMINAL_VALUE_NONE);
  const auto planner = MakePlanner(options);
  const std::vector<float> observation(kObservations, 0);
  EXPECT_THAT(planner->Plan(observation, true, 0, absl::Seconds(60)),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("policy not needed")));
  ASSERT_OK(planner->SetDynamics(ConstantDynamics(kObservations, kActions, 1, 1, 0.1F), 3));
  // Nothing was planned before.
  ASSERT_OK_AND_ASSIGN(const OnlinePlan none, planner->Plan(observation, true, 0, absl::ZeroDuration()));
  EXPECT_TRUE(none.fallback);
  EXPECT_THAT(none.actions, Each(0.0F));
  ASSERT_OK_AND_ASSIGN(const OnlinePlan plan, planner->Plan(observation, false, 0, absl::InfiniteDuration()));
  ASSERT_FALSE(plan.fallback);
  for (const int step : {1, 2}) {
    ASSERT_OK_AND_ASSIGN(const OnlinePlan next, planner->Plan(observation, false, 0, absl::ZeroDuration()));
    EXPECT_TRUE(next.fallback);
    EXPECT_EQ(next.actions, std::vector<float>(plan.actions.begin() + step * kActions,
                                               plan.actions.begin() + (step + 1) * kActions));
  }
}

TEST(RolloutPlannerTest, TheTrueSimulatorPlansOnlyWhereItsStateIsGiven) {
  RolloutPlanner::Options options = SmallOptions();
  options.config.set_model_draw(demorl::config::v1::MODEL_DRAW_SIMULATOR);
  options.config.set_sink(demorl::config::v1::PLAN_SINK_ACT);
  options.environment_id = "NoSuchTask-v0";
  EXPECT_THAT(RolloutPlanner::Create(options),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("NoSuchTask")));
  options.environment_id = "InvertedPendulum-v5";
  const auto planner = MakePlanner(options);
  EXPECT_FALSE(planner->ready());
  const std::vector<float> starts(kObservations, 0);
  EXPECT_THAT(planner->PlanRound(starts, 0),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("simulator")));
}

TEST(RolloutPlannerTest, PlainDmdMpcSwingsThePoleUpAndKeepsItThereOnItsSimulator) {
  // The preset of this task and algorithm.
  RolloutPlanner::Options options;
  options.config.set_shift_model(demorl::config::v1::SHIFT_MODEL_PREVIOUS_PLAN);
  options.config.set_objective(demorl::config::v1::OBJECTIVE_SOFTMAX);
  options.config.set_mppi_temperature(0.1);
  options.config.set_terminal_value(demorl::config::v1::TERMINAL_VALUE_NONE);
  options.config.set_discount(1);
  options.config.set_model_draw(demorl::config::v1::MODEL_DRAW_SIMULATOR);
  options.config.set_sink(demorl::config::v1::PLAN_SINK_ACT);
  options.config.set_population_size(100);
  options.config.mutable_horizon()->set_start_value(64);
  options.config.mutable_horizon()->set_end_value(64);
  options.config.set_step_size(0.6);
  options.config.set_noise_stddev(0.67);
  options.environment_id = "CartpoleSwingUp-v0";
  ASSERT_OK_AND_ASSIGN(const auto environment, MakeEnvironment(options.environment_id, 3));
  options.observation_size = environment->spec().observation_size;
  options.action_size = environment->spec().action_size;
  const auto planner = MakePlanner(options);
  Timestep timestep = environment->Reset();
  double last_rewards = 0;
  for (int step = 0; step < 400; ++step) {
    const std::vector<float> observation(timestep.observation.begin(), timestep.observation.end());
    ASSERT_OK(planner->SetSimulatorState(environment->SaveState()));
    ASSERT_OK_AND_ASSIGN(const OnlinePlan plan,
                         planner->Plan(observation, step == 0, 0, absl::InfiniteDuration()));
    const double action = plan.actions[0];
    timestep = environment->Step({&action, 1});
    last_rewards += step >= 200 ? timestep.reward : 0;
  }
  // The reward is the cosine of the angle but for a small cost of position: upright for the last 200 steps.
  EXPECT_GT(last_rewards / 200, 0.9);
}

}  // namespace
}  // namespace demorl
