#include "services/cli/run/run_folder.h"

#include "common/base/file_io.h"
#include "common/config/complete_run.h"
#include "common/config/loader.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/testing/status_matchers.h"

namespace demorl {
namespace {

namespace fs = std::filesystem;
using ::demorl::config::v1::RunConfig;
using ::demorl::testing::StatusIs;
using ::testing::HasSubstr;

class RunFolderTest : public ::testing::Test {
 protected:
  void SetUp() override {
    path_ = fs::path(::testing::TempDir()) / ::testing::UnitTest::GetInstance()->current_test_info()->name();
    fs::remove_all(path_);
    config_.set_environment("InvertedPendulum-v5");
    config_.set_algorithm("sac");
    config_.set_model_based(false);
    config_.set_environment_steps(4000);
    CompleteRunConfig(&config_);
  }
  void TearDown() override { fs::remove_all(path_); }

  fs::path path_;
  RunConfig config_;
};

TEST_F(RunFolderTest, ReopensWithTheSameRunIdAndItsEvaluations) {
  std::string run_id;
  {
    ASSERT_OK_AND_ASSIGN(const auto folder, RunFolder::Open(path_, config_));
    EXPECT_FALSE(folder->resumed());
    run_id = folder->config().run_id();
    EXPECT_EQ(run_id.size(), 16u);
    ASSERT_OK(folder->AppendEvaluation({.environment_steps = 1000, .mean_return = 12.5, .episodes = 5}));
    ASSERT_OK(folder->WriteSummary({.environment_steps = 1000, .wall_s = 30}));
  }
  ASSERT_OK_AND_ASSIGN(const auto folder, RunFolder::Open(path_, config_));
  EXPECT_TRUE(folder->resumed());
  EXPECT_EQ(folder->config().run_id(), run_id);
  EXPECT_EQ(folder->earlier_wall_s(), 30);
  ASSERT_EQ(folder->evaluations().size(), 1u);
  EXPECT_EQ(folder->evaluations()[0].mean_return, 12.5);
}

TEST_F(RunFolderTest, RefusesAnotherConfigurationAndNamesTheDifference) {
  ASSERT_OK(RunFolder::Open(path_, config_));
  const std::string before = *ReadFile(path_ / "config.textproto");
  RunConfig other = config_;
  other.mutable_sac()->set_batch_size(64);
  EXPECT_THAT(RunFolder::Open(path_, other),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("sac.batch_size")));
  EXPECT_EQ(*ReadFile(path_ / "config.textproto"), before);
}

TEST_F(RunFolderTest, AllowsTheRunToBeMadeLonger) {
  ASSERT_OK(RunFolder::Open(path_, config_));
  RunConfig longer = config_;
  longer.set_environment_steps(8000);
  ASSERT_OK_AND_ASSIGN(const auto folder, RunFolder::Open(path_, longer));
  EXPECT_EQ(folder->config().environment_steps(), 8000);
}

TEST_F(RunFolderTest, RefusesASecondProcessAndAForeignFolder) {
  ASSERT_OK_AND_ASSIGN(const auto folder, RunFolder::Open(path_, config_));
  EXPECT_THAT(RunFolder::Open(path_, config_),
              StatusIs(absl::StatusCode::kAborted, HasSubstr("another process")));
  const fs::path foreign = path_ / "foreign";
  ASSERT_OK(MakeFolders(foreign));
  ASSERT_OK(WriteFileAtomically(foreign / "thesis.tex", "precious"));
  EXPECT_THAT(RunFolder::Open(foreign, config_),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("not empty")));
  EXPECT_EQ(std::distance(fs::directory_iterator(foreign), {}), 1);
}

TEST_F(RunFolderTest, CutsALineThatACrashLeftTorn) {
  {
    ASSERT_OK_AND_ASSIGN(const auto folder, RunFolder::Open(path_, config_));
    ASSERT_OK(folder->AppendEvaluation({.environment_steps = 1000, .mean_return = 1, .episodes = 5}));
  }
  ASSERT_OK(AppendToFile(path_ / "eval.csv", "2000,17.2,0"));
  ASSERT_OK_AND_ASSIGN(const auto folder, RunFolder::Open(path_, config_));
  ASSERT_OK(folder->AppendEvaluation({.environment_steps = 2000, .mean_return = 2, .episodes = 5}));
  ASSERT_OK_AND_ASSIGN(const auto rows, ReadEvaluations(path_ / "eval.csv"));
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[1].mean_return, 2);
}

TEST_F(RunFolderTest, TruncationDropsWhatAResumedRunWritesAgain) {
  ASSERT_OK_AND_ASSIGN(const auto folder, RunFolder::Open(path_, config_));
  for (int64_t steps : {1000, 2000, 3000}) {
    ASSERT_OK(folder->AppendEvaluation({.environment_steps = steps, .mean_return = 1, .episodes = 5}));
    ASSERT_OK(folder->AppendProgress({.environment_steps = steps}));
  }
  ASSERT_OK(folder->TruncateAfter(2000));
  EXPECT_EQ(folder->evaluations().size(), 2u);
  EXPECT_THAT(*ReadFile(path_ / "progress.csv"), ::testing::Not(HasSubstr("\n3000,")));
}

TEST_F(RunFolderTest, SummaryHoldsTheFinalEvaluationAndStaysValidJsonWithUnknownFigures) {
  ASSERT_OK_AND_ASSIGN(const auto folder, RunFolder::Open(path_, config_));
  ASSERT_OK(folder->AppendEvaluation(
      {.environment_steps = 4000, .mean_return = 987.5, .stddev_return = 1.5, .episodes = 5}));
  ASSERT_OK(
      folder->WriteSummary({.environment_steps = 4000, .updates = 35000, .wall_s = 10, .finished = true}));
  const auto json = nlohmann::json::parse(*ReadFile(path_ / "summary.json"));
  EXPECT_EQ(json["environment"], "InvertedPendulum-v5");
  EXPECT_EQ(json["final_evaluation"]["mean_return"], 987.5);
  EXPECT_EQ(json["updates"], 35000);
  EXPECT_EQ(json["config_hash"], folder->config_hash());
}

TEST_F(RunFolderTest, NamesTheLineOfAMalformedTable) {
  ASSERT_OK(RunFolder::Open(path_, config_));
  ASSERT_OK(AppendToFile(path_ / "eval.csv", "1000,abc,0,0,5,1,2\n"));
  EXPECT_THAT(RunFolder::Open(path_, config_),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("eval.csv:2:")));
}

}  // namespace
}  // namespace demorl
