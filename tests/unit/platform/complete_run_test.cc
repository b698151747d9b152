#include "common/config/complete_run.h"

#include <filesystem>

#include "common/base/file_io.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"

namespace demorl {
namespace {

namespace fs = std::filesystem;
using ::demorl::config::v1::RunConfig;
using ::demorl::testing::StatusIs;
using ::testing::HasSubstr;

class LoadRunConfigTest : public ::testing::Test {
 protected:
  LoadRunConfigTest()
      : folder_(fs::path(::testing::TempDir()) /
                ::testing::UnitTest::GetInstance()->current_test_info()->name()) {
    fs::remove_all(folder_);
    fs::create_directories(folder_);
  }

  void Write(const std::string& name, const std::string& text) {
    EXPECT_OK(WriteFileAtomically(folder_ / name, text));
  }

  const fs::path folder_;
};

TEST_F(LoadRunConfigTest, LayersOfAFolderAreMergedByNameAndCompleted) {
  Write("20-own.textproto", "sac { updates_per_step: 7 }");
  Write("10-preset.textproto", "algorithm: \"mdemorl\" sac { updates_per_step: 20 learning_starts: 300 }");
  ASSERT_OK_AND_ASSIGN(const RunConfig config, LoadRunConfig(folder_, {"seed=5"}));
  EXPECT_EQ(config.seed(), 5);
  ASSERT_EQ(config.replay().tables_size(), 3);
  EXPECT_EQ(config.replay().tables(0).name(), "env");
  EXPECT_EQ(config.replay().tables(0).rate_limiter().updates_per_row(), 7);
  EXPECT_EQ(config.replay().tables(0).rate_limiter().min_rows(), 300);
  EXPECT_EQ(config.replay().tables(2).name(), "check");
  EXPECT_EQ(config.replay().tables(2).durability(), demorl::config::v1::DURABILITY_NONE);
}

TEST_F(LoadRunConfigTest, LinksAreFollowedAndOtherFilesLeftAlone) {
  fs::create_directory(folder_ / "..2026");
  Write("..2026/10-run.textproto", "seed: 3");
  fs::create_symlink("..2026/10-run.textproto", folder_ / "10-run.textproto");
  Write("notes.txt", "no text proto");
  ASSERT_OK_AND_ASSIGN(const RunConfig config, LoadRunConfig(folder_, {}));
  EXPECT_EQ(config.seed(), 3);
}

TEST_F(LoadRunConfigTest, AFileIsTakenAsItIs) {
  Write("run.textproto", "replay { tables { name: \"env\" } }");
  ASSERT_OK_AND_ASSIGN(const RunConfig config, LoadRunConfig(folder_ / "run.textproto", {}));
  ASSERT_EQ(config.replay().tables_size(), 1);
  EXPECT_FALSE(config.replay().tables(0).rate_limiter().has_updates_per_row());
}

TEST_F(LoadRunConfigTest, AMistakeIsNamedWithItsLayer) {
  Write("10-run.textproto", "seed: 3");
  Write("60-own.textproto", "sac {\n  batch_sise: 3\n}");
  EXPECT_THAT(LoadRunConfig(folder_, {}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("60-own.textproto:2:")));
}

TEST_F(LoadRunConfigTest, AFolderWithoutLayersIsNamed) {
  EXPECT_THAT(LoadRunConfig(folder_, {}), StatusIs(absl::StatusCode::kNotFound, HasSubstr(folder_.string())));
}

}  // namespace
}  // namespace demorl
