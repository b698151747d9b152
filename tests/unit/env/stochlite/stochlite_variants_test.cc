#include "common/env/tasks/stochlite/stochlite_variants.h"

#include "gmock/gmock.h"
#include "tests/testing/status_matchers.h"

namespace demorl::stochlite {
namespace {

using ::demorl::testing::StatusIs;
using ::testing::HasSubstr;

TEST(StochLiteVariantsTest, EveryIdFindsItsOwnOptions) {
  ASSERT_OK_AND_ASSIGN(const TwinOptions robust, FindStochLiteOptions("StochLiteRobust-v0"));
  EXPECT_TRUE(robust.randomisation.push);
  ASSERT_OK_AND_ASSIGN(const TwinOptions authors, FindStochLiteOptions("StochLiteAuthors-v0"));
  EXPECT_EQ(authors.observation, ObservationSet::kAuthors);
  EXPECT_EQ(authors.smoothing_time_s, 0);
}

TEST(StochLiteVariantsTest, AnIdOfAnotherRobotIsAnsweredWithTheKnownOnes) {
  EXPECT_THAT(FindStochLiteOptions("Leg2R-v0"),
              StatusIs(absl::StatusCode::kNotFound,
                       HasSubstr("'Leg2R-v0' is no task of StochLite; known are StochLite-v0, ")));
}

}  // namespace
}  // namespace demorl::stochlite
