#include "common/rpc/data_dir.h"

#include <unistd.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "common/base/file_io.h"
#include "common/config/loader.h"
#include "common/rpc/service_context.h"
#include "gmock/gmock.h"
#include "tests/testing/status_matchers.h"

namespace demorl {
namespace {

using ::demorl::testing::StatusIs;
using ::testing::AllOf;
using ::testing::HasSubstr;

class DataDirTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::path(::testing::TempDir()) /
              absl::StrCat("data_dir_", ::getpid(), "_",
                           ::testing::UnitTest::GetInstance()->current_test_info()->name());
    std::filesystem::remove_all(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::filesystem::path folder_;
};

TEST_F(DataDirTest, CountsItsStarts) {
  for (uint64_t expected = 1; expected <= 3; ++expected) {
    ASSERT_OK_AND_ASSIGN(const auto data_dir, DataDir::Open(folder_ / "replay"));
    EXPECT_EQ(data_dir->start_count(), expected);
  }
}

TEST_F(DataDirTest, ASecondHolderIsRefusedAndNamesTheFirst) {
  ASSERT_OK_AND_ASSIGN(auto first, DataDir::Open(folder_));
  EXPECT_THAT(DataDir::Open(folder_),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       AllOf(HasSubstr(folder_.string()), HasSubstr(absl::StrCat(::getpid())))));
  first.reset();
  ASSERT_OK_AND_ASSIGN(const auto second, DataDir::Open(folder_));
  EXPECT_EQ(second->start_count(), 2) << "a refused start does not count";
}

TEST_F(DataDirTest, ADamagedCounterIsNotOverwritten) {
  ASSERT_OK(MakeFolders(folder_));
  ASSERT_OK(WriteFileAtomically(folder_ / "start_count", "1x"));
  EXPECT_THAT(DataDir::Open(folder_), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("\"1x\"")));
  ASSERT_OK_AND_ASSIGN(const std::string text, ReadFile(folder_ / "start_count"));
  EXPECT_EQ(text, "1x");
}

TEST_F(DataDirTest, AFolderThatCannotBeMadeIsNamed) {
  EXPECT_THAT(DataDir::Open("/proc/none/data").status().ToString(), HasSubstr("/proc/none"));
}

TEST_F(DataDirTest, AHostedContextCarriesFolderCountAndHash) {
  demorl::config::v1::RunConfig config;
  config.set_run_id("a");
  FillDefaults(&config);
  const auto metrics = MakeLocalMetrics();
  std::string hash;
  {
    ASSERT_OK_AND_ASSIGN(const HostedContext hosted, MakeHostedContext(config, "replay", folder_.string(),
                                                                       metrics.get(), nullptr, nullptr));
    EXPECT_EQ(hosted.context.start_count, 1);
    EXPECT_EQ(hosted.context.data_dir, folder_.string());
    EXPECT_EQ(hosted.context.config.run_id(), "a");
    hash = hosted.context.config_hash;
  }
  config.set_run_id("b");
  config.mutable_services()->mutable_replay()->set_address("elsewhere:1");
  ASSERT_OK_AND_ASSIGN(const HostedContext again, MakeHostedContext(config, "replay", folder_.string(),
                                                                    metrics.get(), nullptr, nullptr));
  EXPECT_EQ(again.context.start_count, 2);
  EXPECT_EQ(again.context.config_hash, hash) << "where services run does not shape the result";
  config.set_seed(1);
  EXPECT_NE(RunConfigHash(config), hash);
  ASSERT_OK_AND_ASSIGN(const HostedContext memory,
                       MakeHostedContext(config, "replay", "", metrics.get(), nullptr, nullptr));
  EXPECT_EQ(memory.data_dir, nullptr);
  EXPECT_EQ(memory.context.start_count, 1);
}

}  // namespace
}  // namespace demorl
