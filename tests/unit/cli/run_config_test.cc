#include "services/cli/run/run_config.h"

#include "common/base/file_io.h"
#include "common/config/complete_run.h"
#include "common/config/loader.h"
#include "gtest/gtest.h"
#include "services/cli/run/service_names.h"
#include "tests/testing/status_matchers.h"

namespace demorl {
namespace {

using ::demorl::config::v1::RunConfig;
using ::demorl::config::v1::TableConfig;
using ::demorl::testing::StatusIs;
using ::testing::HasSubstr;

RunRequest Pendulum(const std::string& algorithm) {
  return {.environment_id = "InvertedPendulum-v5", .algorithm = algorithm, .environment_steps = 4000};
}

const TableConfig* FindTable(const RunConfig& config, const std::string& name) {
  for (const TableConfig& table : config.replay().tables()) {
    if (table.name() == name) {
      return &table;
    }
  }
  return nullptr;
}

TEST(RunConfigTest, TheLimiterOfTheEnvironmentTableEnforcesTheLearnersSchedule) {
  RunRequest request = Pendulum("mdemorl");
  request.overrides = {"sac.updates_per_step=7", "sac.learning_starts=300", "actor.max_run_ahead_steps=11"};
  ASSERT_OK_AND_ASSIGN(const RunConfig config, ResolveRunConfig(request, DEMORL_PRESETS));
  const TableConfig* table = FindTable(config, "env");
  ASSERT_NE(table, nullptr);
  EXPECT_EQ(table->rate_limiter().updates_per_row(), 7);
  EXPECT_EQ(table->rate_limiter().min_rows(), 300);
  EXPECT_EQ(table->rate_limiter().max_rows_ahead(), 11);
}

TEST(RunConfigTest, PlainSacHasNoPlannedTableAndTrainsOnRealRowsOnly) {
  ASSERT_OK_AND_ASSIGN(const RunConfig config, ResolveRunConfig(Pendulum("sac"), DEMORL_PRESETS));
  EXPECT_FALSE(config.model_based());
  EXPECT_EQ(FindTable(config, "mpc"), nullptr);
  EXPECT_EQ(config.sac().real_ratio().start_value(), 1);
}

TEST(RunConfigTest, CompletingTwiceChangesNothing) {
  ASSERT_OK_AND_ASSIGN(const RunConfig once, ResolveRunConfig(Pendulum("mdemorl"), DEMORL_PRESETS));
  RunConfig twice = once;
  CompleteRunConfig(&twice);
  EXPECT_EQ(Differences(once, twice), std::vector<std::string>());
}

TEST(RunConfigTest, ACompleteConfigurationFileGivesTheSameRunAgain) {
  ASSERT_OK_AND_ASSIGN(RunConfig original, ResolveRunConfig(Pendulum("mdemorl"), DEMORL_PRESETS));
  original.set_run_id("0123456789abcdef");
  const std::string file = ::testing::TempDir() + "/complete.textproto";
  ASSERT_OK(WriteFileAtomically(file, ToTextProto(original)));
  ASSERT_OK_AND_ASSIGN(RunConfig again, ResolveRunConfig({.config_file = file}, DEMORL_PRESETS));
  original.clear_run_id();
  EXPECT_EQ(Differences(original, again), std::vector<std::string>());
}

TEST(RunConfigTest, NamesTheKnownAlgorithmsWhenAskedForAnother) {
  EXPECT_THAT(
      ResolveRunConfig(Pendulum("mdemrol"), DEMORL_PRESETS),
      StatusIs(absl::StatusCode::kNotFound, ::testing::AllOf(HasSubstr("'mdemrol'"), HasSubstr("mdemorl"))));
}

TEST(RunConfigTest, ActingByPlansNeedsANativeTaskThatRunsFreely) {
  ASSERT_OK_AND_ASSIGN(RunConfig filling, ResolveRunConfig(Pendulum("mopac"), DEMORL_PRESETS));
  filling.set_deterministic(true);
  EXPECT_OK(CheckTrainable(filling));
  ASSERT_OK_AND_ASSIGN(RunConfig acting, ResolveRunConfig(Pendulum("pets"), DEMORL_PRESETS));
  EXPECT_OK(CheckTrainable(acting));
  acting.set_deterministic(true);
  EXPECT_THAT(CheckTrainable(acting),
              StatusIs(absl::StatusCode::kUnimplemented, HasSubstr("--deterministic")));
  acting.set_deterministic(false);
  acting.mutable_actor()->set_num_environments(64);
  EXPECT_THAT(CheckTrainable(acting),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("actor.num_environments = 64")));
  acting.mutable_actor()->set_num_environments(63);
  EXPECT_OK(CheckTrainable(acting));
  acting.set_environment("Pendulum-v1");
  EXPECT_THAT(CheckTrainable(acting), StatusIs(absl::StatusCode::kUnimplemented, HasSubstr("Python actor")));
}

struct RunOfAlgorithm {
  std::string algorithm;
  std::vector<std::string> services;
  bool has_planned_table;
  double real_ratio;
  bool limits_rows;
};

class ServicesOfAlgorithmTest : public ::testing::TestWithParam<RunOfAlgorithm> {};

TEST_P(ServicesOfAlgorithmTest, RunsWhatTheAlgorithmNeedsAndNoMore) {
  const RunOfAlgorithm& expected = GetParam();
  RunRequest request = Pendulum(expected.algorithm);
  request.environment_id = "Hopper-v5";
  ASSERT_OK_AND_ASSIGN(const RunConfig config, ResolveRunConfig(request, DEMORL_PRESETS));
  EXPECT_EQ(ServicesOf(config), expected.services);
  EXPECT_EQ(FindTable(config, "mpc") != nullptr, expected.has_planned_table);
  EXPECT_EQ(config.sac().real_ratio().start_value(), expected.real_ratio);
  EXPECT_EQ(FindTable(config, "env")->rate_limiter().has_updates_per_row(), expected.limits_rows);
}

INSTANTIATE_TEST_SUITE_P(
    All, ServicesOfAlgorithmTest,
    ::testing::Values(
        RunOfAlgorithm{"sac", {"replay", "snapshot", "sac_learner", "actor"}, false, 1, true},
        RunOfAlgorithm{"mbpo",
                       {"replay", "snapshot", "sac_learner", "model_trainer", "mpc_rollout", "actor"},
                       true,
                       0.05,
                       true},
        RunOfAlgorithm{"loop",
                       {"replay", "snapshot", "sac_learner", "model_trainer", "mpc_rollout", "actor"},
                       false,
                       1,
                       true},
        RunOfAlgorithm{
            "pets", {"replay", "snapshot", "model_trainer", "mpc_rollout", "actor"}, false, 1, false},
        RunOfAlgorithm{"polo", {"replay", "snapshot", "sac_learner", "mpc_rollout", "actor"}, false, 1, true},
        RunOfAlgorithm{"dmd_mpc", {"replay", "snapshot", "mpc_rollout", "actor"}, false, 1, false}),
    [](const auto& info) { return info.param.algorithm; });

TEST(RunConfigTest, RefusesBadOverridesNamingTheField) {
  const auto resolve = [](const std::string& assignment) {
    RunRequest request = Pendulum("mdemorl");
    request.overrides = {assignment};
    return ResolveRunConfig(request, DEMORL_PRESETS).status();
  };
  EXPECT_THAT(resolve("sac.batchsize=3"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("batch_size")));
  EXPECT_THAT(resolve("sac.batch_size=many"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("batch_size")));
  EXPECT_THAT(resolve("sac.discount=1.5"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("sac.discount")));
  EXPECT_THAT(resolve("model.num_elite_members=9"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("ensemble_size")));
  EXPECT_THAT(resolve("sac.learning_starts=5000"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("environment_steps = 4000")));
}

}  // namespace
}  // namespace demorl
