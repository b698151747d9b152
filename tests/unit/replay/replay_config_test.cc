#include "services/replay/core/replay_config.h"

#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"

namespace demorl {
namespace {

using ::demorl::testing::StatusIs;
using ::testing::HasSubstr;

TEST(ReplayConfigTest, TakesDefaultsFromTheMessage) {
  config::v1::ReplayConfig config;
  config.add_tables()->set_name("env");
  config::v1::TableConfig* mpc = config.add_tables();
  mpc->set_name("mpc");
  mpc->set_selector(config::v1::SELECTOR_FIFO);
  mpc->set_durability(config::v1::DURABILITY_NONE);
  mpc->mutable_rate_limiter()->set_updates_per_row(20);
  ASSERT_OK_AND_ASSIGN(const ReplayOptions options, ReplayOptionsFromConfig(config, "run", 1));
  EXPECT_EQ(options.tables[0].max_rows, 1'000'000);
  EXPECT_EQ(options.tables[0].selector, SelectorKind::kUniform);
  EXPECT_EQ(options.tables[0].rate_limiter.updates_per_row, 0);
  EXPECT_TRUE(options.tables[0].durable);
  EXPECT_EQ(options.tables[1].selector, SelectorKind::kFifo);
  EXPECT_FALSE(options.tables[1].durable);
  EXPECT_EQ(options.tables[1].rate_limiter.updates_per_row, 20);
  EXPECT_EQ(options.tables[1].rate_limiter.max_rows_ahead, 25);
  EXPECT_EQ(options.max_magnitude, 1e6);
}

TEST(ReplayConfigTest, RefusesAConfigurationWithoutTables) {
  EXPECT_THAT(ReplayOptionsFromConfig({}, "run", 1),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("no tables")));
}

}  // namespace
}  // namespace demorl
