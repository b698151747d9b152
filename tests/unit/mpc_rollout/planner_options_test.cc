#include "services/mpc_rollout/core/planner_options.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "common/config/loader.h"
#include "demorl/config/v1/run.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"

namespace demorl {
namespace {

namespace fs = std::filesystem;
using ::demorl::config::v1::PlannerConfig;
using ::demorl::config::v1::RunConfig;
using ::demorl::testing::StatusIs;
using ::testing::HasSubstr;
using ::testing::IsSupersetOf;

const fs::path kPresets = DEMORL_PRESETS;

std::vector<fs::path> FilesOf(const std::string& folder) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(kPresets / folder)) {
    files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

// algorithms/<algorithm>, tasks/<task>, tasks/<task>.<algorithm>, as the train command merges them.
RunConfig Merged(const std::string& algorithm, const std::string& task) {
  RunConfig config;
  EXPECT_OK(MergeTextProtoFile(kPresets / "algorithms" / (algorithm + ".textproto"), &config));
  for (const std::string& name : {task, task + "." + algorithm}) {
    const fs::path file = kPresets / "tasks" / (name + ".textproto");
    if (fs::exists(file)) {
      EXPECT_OK(MergeTextProtoFile(file, &config));
    }
  }
  return config;
}

DmdMpcOptions OptionsOf(const std::string& algorithm, const std::string& task = "HalfCheetah") {
  const auto options = MakeDmdMpcOptions(Merged(algorithm, task).planner(), 0.99);
  EXPECT_OK(options);
  return options.value_or(DmdMpcOptions{});
}

TEST(PlannerOptionsTest, DefaultsOfTheConfigurationAreThoseOfTheInnerLoop) {
  ASSERT_OK_AND_ASSIGN(const DmdMpcOptions options, MakeDmdMpcOptions({}, 0.99));
  const DmdMpcOptions expected;
  EXPECT_EQ(options.shift, expected.shift);
  EXPECT_EQ(options.objective, expected.objective);
  EXPECT_EQ(options.population_size, expected.population_size);
  EXPECT_EQ(options.elite_ratio, expected.elite_ratio);
  EXPECT_EQ(HorizonSteps(options.horizon, 20'000), 10);
  EXPECT_EQ(options.terminal_value, expected.terminal_value);
  EXPECT_EQ(options.model_draw, expected.model_draw);
  EXPECT_EQ(options.mask_terminations, true);
  EXPECT_EQ(options.average_noise, false);
  EXPECT_EQ(options.sampled_next_state, true);
  EXPECT_EQ(options.sampled_reward, false);
  EXPECT_EQ(options.refit_smoothing, expected.refit_smoothing);
  EXPECT_EQ(options.noise_beta, expected.noise_beta);
}

TEST(PlannerOptionsTest, TheLearnersDiscountCountsUnlessThePlannerHasItsOwn) {
  PlannerConfig config;
  EXPECT_EQ(MakeDmdMpcOptions(config, 0.97)->discount, 0.97);
  config.set_discount(0.5);
  EXPECT_EQ(MakeDmdMpcOptions(config, 0.97)->discount, 0.5);
}

TEST(PlannerOptionsTest, RefusesContradictionsAndUnspecifiedValues) {
  PlannerConfig simulator;
  simulator.set_model_draw(demorl::config::v1::MODEL_DRAW_SIMULATOR);
  EXPECT_THAT(MakeDmdMpcOptions(simulator, 0.99),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("sink act")));
  PlannerConfig unspecified;
  unspecified.set_objective(demorl::config::v1::OBJECTIVE_UNSPECIFIED);
  EXPECT_THAT(MakeDmdMpcOptions(unspecified, 0.99),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("planner.objective")));
}

TEST(PresetsTest, EveryFileIsAValidConfiguration) {
  for (const std::string folder : {"algorithms", "tasks", "named"}) {
    for (const fs::path& file : FilesOf(folder)) {
      RunConfig config;
      ASSERT_OK(MergeTextProtoFile(file, &config)) << file;
      EXPECT_OK(ValidateRanges(config)) << file;
      if (folder == "algorithms") {
        EXPECT_EQ(config.algorithm(), file.stem()) << file;
      }
    }
  }
}

TEST(PresetsTest, EveryAlgorithmHasAPlannerOnEveryTask) {
  std::set<std::string> algorithms;
  std::set<std::string> tasks;
  for (const fs::path& file : FilesOf("algorithms")) {
    algorithms.insert(file.stem());
  }
  for (const fs::path& file : FilesOf("tasks")) {
    const std::string name = file.stem();
    const size_t dot = name.find('.');
    tasks.insert(name.substr(0, dot));
    if (dot != std::string::npos) {
      EXPECT_TRUE(algorithms.contains(name.substr(dot + 1))) << file;
      EXPECT_TRUE(fs::exists(kPresets / "tasks" / (name.substr(0, dot) + ".textproto"))) << file;
    }
  }
  EXPECT_THAT(algorithms, IsSupersetOf({"sac", "mdemorl", "mopac", "mbpo", "pets", "pddm", "loop", "polo",
                                        "topdm", "dmd_mpc", "parity_a"}));
  EXPECT_THAT(tasks, IsSupersetOf({"InvertedPendulum", "InvertedDoublePendulum", "Hopper", "HalfCheetah",
                                   "Walker2d", "Ant", "AntTruncatedObs", "Humanoid", "HumanoidStandup",
                                   "Swimmer", "Reacher", "Pusher", "CartpoleSwingUp"}));
  for (const std::string& algorithm : algorithms) {
    for (const std::string& task : tasks) {
      const RunConfig config = Merged(algorithm, task);
      EXPECT_OK(MakeDmdMpcOptions(config.planner(), 0.99)) << algorithm << " " << task;
      EXPECT_LE(config.model().num_elite_members(), config.model().ensemble_size());
      EXPECT_TRUE(config.sac().has_real_ratio() && config.sac().has_target_entropy()) << task;
    }
  }
}

TEST(PresetsTest, MbpoIsThePolicysOwnRollouts) {
  const DmdMpcOptions options = OptionsOf("mbpo", "Hopper");
  EXPECT_EQ(options.objective, ObjectiveKind::kNone);
  EXPECT_TRUE(options.closed_loop_rows);
  EXPECT_TRUE(options.sampled_reward);
  EXPECT_EQ(options.model_draw, ModelDrawKind::kPerStep);
  EXPECT_FALSE(NeedsValue(options));
  EXPECT_EQ(HorizonSteps(options.horizon, 0), 1);
  EXPECT_EQ(HorizonSteps(options.horizon, 150'000), 15);
  EXPECT_EQ(Merged("mbpo", "HalfCheetah").sac().real_ratio().end_value(), 0.05);
}

TEST(PresetsTest, MdemorlFollowsThePaperAndTheAuthorsRatio) {
  const DmdMpcOptions options = OptionsOf("mdemorl", "Hopper");
  EXPECT_EQ(options.objective, ObjectiveKind::kEliteUniform);
  EXPECT_EQ(options.population_size, 100);
  EXPECT_EQ(HorizonSteps(options.horizon, 0), 5);
  EXPECT_EQ(HorizonSteps(options.horizon, 40'000), 15);
  const RunConfig config = Merged("mdemorl", "HalfCheetah");
  EXPECT_EQ(config.sac().real_ratio().start_value(), 0.2);
  EXPECT_EQ(config.sac().real_ratio().end_value(), 0.8);
  EXPECT_EQ(config.sac().updates_per_step(), 40);
  EXPECT_EQ(HorizonSteps(OptionsOf("mdemorl", "Humanoid").horizon, 40'000), 10);
}

TEST(PresetsTest, MdemorlAndMopacPlanOneStepFromANoisyDrawOnTheCheetah) {
  for (const std::string algorithm : {"mdemorl", "mopac"}) {
    const DmdMpcOptions options = OptionsOf(algorithm, "HalfCheetah");
    EXPECT_EQ(HorizonSteps(options.horizon, 40'000), 1);
    EXPECT_TRUE(options.sampled_policy && options.noisy_base && options.average_noise);
  }
}

TEST(PresetsTest, ParityKeepsTheDeparturesOfTheAuthorsCode) {
  const DmdMpcOptions options = OptionsOf("parity_a");
  EXPECT_EQ(options.objective, ObjectiveKind::kEliteCostWeighted);
  EXPECT_TRUE(options.average_noise);
  EXPECT_TRUE(options.noisy_base);
  EXPECT_TRUE(options.sampled_policy);
  EXPECT_TRUE(options.shared_noise);
  EXPECT_FALSE(options.shared_model_draws);
  EXPECT_FALSE(options.mask_terminations);
  EXPECT_EQ(options.terminal_value, TerminalValueKind::kLastSlot);
  EXPECT_EQ(options.action_bound, 1.4);
  EXPECT_EQ(Merged("parity_a", "HalfCheetah").sac().target_entropy(), 0);
}

}  // namespace
}  // namespace demorl
