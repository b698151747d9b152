#include "common/rpc/service_checkpoints.h"

#include <filesystem>

#include "common/base/file_io.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"

namespace demorl {
namespace {

namespace fs = std::filesystem;
using ::demorl::testing::StatusIs;
using ::testing::HasSubstr;

class ServiceCheckpointsTest : public ::testing::Test {
 protected:
  ServiceCheckpointsTest() { fs::remove_all(folder_); }
  ~ServiceCheckpointsTest() override { fs::remove_all(folder_); }

  ServiceCheckpoints In(const std::string& data_dir) const { return {data_dir, /*keep=*/2, metrics_}; }

  const fs::path folder_ = fs::path(::testing::TempDir()) / "ServiceCheckpointsTest";
  const std::unique_ptr<Metrics> registry_ = MakeLocalMetrics();
  const CheckpointMetrics metrics_{*registry_, "walker"};
};

TEST_F(ServiceCheckpointsTest, FindsWhatItWroteAndCountsIt) {
  const ServiceCheckpoints checkpoints = In(folder_.string());
  ASSERT_OK_AND_ASSIGN(const auto none, checkpoints.LoadNewest({"state"}));
  EXPECT_FALSE(none.has_value());
  ASSERT_OK_AND_ASSIGN(const std::string written, checkpoints.Write(7, {{"state", "seven"}}));
  EXPECT_EQ(written, (folder_ / "checkpoints" / "0000000007").string());
  EXPECT_EQ(registry_->GetCounter("demorl_walker_checkpoints_total", "").Value(), 1);
  ASSERT_OK_AND_ASSIGN(const auto found, checkpoints.LoadNewest({"state"}));
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->files.at("state"), "seven");
}

TEST_F(ServiceCheckpointsTest, WithoutADataFolderNothingIsKept) {
  const ServiceCheckpoints checkpoints = In("");
  ASSERT_OK_AND_ASSIGN(const std::string written, checkpoints.Write(7, {{"state", "seven"}}));
  EXPECT_EQ(written, "");
  EXPECT_EQ(metrics_.written.Value(), 0);
  ASSERT_OK_AND_ASSIGN(const auto found, checkpoints.LoadNewest({"state"}));
  EXPECT_FALSE(found.has_value());
}

TEST_F(ServiceCheckpointsTest, CountsTheDamagedOnesItPassesOverAndThoseItCannotWrite) {
  const ServiceCheckpoints checkpoints = In(folder_.string());
  ASSERT_OK(checkpoints.Write(7, {{"state", "seven"}}));
  ASSERT_OK_AND_ASSIGN(const fs::path damaged, checkpoints.Write(8, {{"state", "eight"}}));
  ASSERT_OK(WriteFileAtomically(damaged / "state", "e1ght"));
  ASSERT_OK_AND_ASSIGN(const auto found, checkpoints.LoadNewest({"state"}));
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->step, 7);
  EXPECT_EQ(metrics_.damaged.Value(), 1);

  fs::remove_all(folder_);
  ASSERT_OK(WriteFileAtomically(folder_, "no folder"));
  EXPECT_FALSE(checkpoints.Write(9, {{"state", "nine"}}).ok());
  EXPECT_EQ(metrics_.failures.Value(), 1);
}

TEST_F(ServiceCheckpointsTest, RefusesTheCheckpointOfAnotherService) {
  const ServiceCheckpoints checkpoints = In(folder_.string());
  ASSERT_OK(checkpoints.Write(7, {{"state", "seven"}}));
  EXPECT_THAT(checkpoints.LoadNewest({"state", "progress"}).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("checkpoint 7 has no file progress")));
}

}  // namespace
}  // namespace demorl
