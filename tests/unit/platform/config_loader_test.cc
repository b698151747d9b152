#include <cmath>
#include <fstream>
#include <string>

#include "common/config/loader.h"
#include "demorl/config/v1/run.pb.h"
#include "gmock/gmock.h"
#include "tests/testing/status_matchers.h"

namespace demorl {
namespace {

using ::demorl::config::v1::RunConfig;
using ::demorl::testing::StatusIs;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

RunConfig Parse(const std::string& text) {
  RunConfig config;
  EXPECT_OK(MergeTextProto(text, "test", &config));
  return config;
}

TEST(MergeTextProtoTest, WhatTheSecondTextSetsWins) {
  RunConfig config = Parse("seed: 1 sac { batch_size: 64 hidden_sizes: [256, 256] tau: 0.1 }");
  ASSERT_OK(MergeTextProto("sac { batch_size: 32 hidden_sizes: [8] }", "overlay", &config));
  EXPECT_EQ(config.seed(), 1);
  EXPECT_EQ(config.sac().batch_size(), 32);
  EXPECT_EQ(config.sac().tau(), 0.1);
  EXPECT_THAT(config.sac().hidden_sizes(), ElementsAre(8));
}

TEST(MergeTextProtoTest, AnUnknownFieldIsNamedWithItsPlaceAndTheNearestFields) {
  RunConfig config = Parse("seed: 5");
  const absl::Status status =
      MergeTextProto("seed: 1\nreplay {\n  tables { name: \"a\" }\n  tables {\n    max_row: 3\n  }\n}",
                     "run.textproto", &config);
  EXPECT_THAT(status,
              StatusIs(kInvalid, AllOf(HasSubstr("run.textproto:5:"), HasSubstr("replay.tables[1]"),
                                       HasSubstr("\"max_row\" of TableConfig"), HasSubstr("max_rows"))));
  EXPECT_EQ(config.seed(), 5) << "a failed merge must change nothing";
}

TEST(MergeTextProtoTest, AWrongTypeIsAnError) {
  RunConfig config;
  EXPECT_THAT(MergeTextProto("sac { batch_size: 1.5 }", "f", &config),
              StatusIs(kInvalid, AllOf(HasSubstr("f:1:"), HasSubstr("in sac"), HasSubstr("1.5"))));
  EXPECT_THAT(MergeTextProto("sac { tau: \"x\" ", "f", &config), StatusIs(kInvalid, HasSubstr("f:1:")));
  EXPECT_THAT(MergeTextProto("seed: 1 seed: 2", "f", &config), StatusIs(kInvalid, HasSubstr("seed")));
}

TEST(MergeTextProtoTest, BracesInStringsAndCommentsDoNotConfuseThePath) {
  RunConfig config;
  EXPECT_THAT(MergeTextProto("preset: \"a { \\\" b\" # replay {\nmodel { hidden_sizes: [1, 2]\n wrong: 1 }",
                             "f", &config),
              StatusIs(kInvalid, AllOf(HasSubstr("f:3:"), HasSubstr("in model:"))));
}

TEST(MergeTextProtoFileTest, AMissingFileIsNamed) {
  RunConfig config;
  EXPECT_THAT(MergeTextProtoFile("/nonexistent/run.textproto", &config),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("/nonexistent/run.textproto")));
}

TEST(ApplyOverrideTest, SetsScalarsOfEveryType) {
  RunConfig config;
  for (const char* assignment :
       {"environment=Ant-v5", "preset=\"quoted\"", "seed=18446744073709551615", "model_based=false",
        "environment_steps=10", "sac.tau=1e-2", "planner.objective=OBJECTIVE_SOFTMAX",
        "planner.shift_model=zero", "planner.horizon.end_value=15"}) {
    ASSERT_OK(ApplyOverride(assignment, &config)) << assignment;
  }
  EXPECT_EQ(config.environment(), "Ant-v5");
  EXPECT_EQ(config.preset(), "quoted");
  EXPECT_EQ(config.seed(), UINT64_MAX);
  EXPECT_FALSE(config.model_based());
  EXPECT_EQ(config.environment_steps(), 10);
  EXPECT_EQ(config.sac().tau(), 0.01);
  EXPECT_EQ(config.planner().objective(), demorl::config::v1::OBJECTIVE_SOFTMAX);
  EXPECT_EQ(config.planner().shift_model(), demorl::config::v1::SHIFT_MODEL_ZERO);
  EXPECT_EQ(config.planner().horizon().end_value(), 15);
}

TEST(ApplyOverrideTest, SetsListsAndTheirElements) {
  RunConfig config =
      Parse("sac { hidden_sizes: [1, 2, 3] } replay { tables { name: 'env' } tables { name: 'mpc' } }");
  ASSERT_OK(ApplyOverride("sac.hidden_sizes[1]=20", &config));
  EXPECT_THAT(config.sac().hidden_sizes(), ElementsAre(1, 20, 3));
  ASSERT_OK(ApplyOverride("sac.hidden_sizes[3]=4", &config));
  EXPECT_THAT(config.sac().hidden_sizes(), ElementsAre(1, 20, 3, 4));
  ASSERT_OK(ApplyOverride("sac.hidden_sizes=[64, 64]", &config));
  EXPECT_THAT(config.sac().hidden_sizes(), ElementsAre(64, 64));
  ASSERT_OK(ApplyOverride("sac.hidden_sizes=[]", &config));
  EXPECT_THAT(config.sac().hidden_sizes(), IsEmpty());
  ASSERT_OK(ApplyOverride("replay.tables[0].max_rows=7", &config));
  ASSERT_OK(ApplyOverride("replay.tables[mpc].max_rows=8", &config));
  EXPECT_EQ(config.replay().tables(0).max_rows(), 7);
  EXPECT_EQ(config.replay().tables(1).max_rows(), 8);
}

TEST(ApplyOverrideTest, SetsAWholeMessage) {
  RunConfig config = Parse("planner { horizon { start_value: 3 } }");
  ASSERT_OK(ApplyOverride("planner.horizon={end_value: 9}", &config));
  EXPECT_FALSE(config.planner().horizon().has_start_value());
  EXPECT_EQ(config.planner().horizon().end_value(), 9);
}

TEST(ApplyOverrideTest, AnUnknownPathNamesTheNearestFields) {
  RunConfig config;
  EXPECT_THAT(ApplyOverride("sac.batchsize=1", &config),
              StatusIs(kInvalid, AllOf(HasSubstr("sac.batchsize"), HasSubstr("nearest: batch_size"))));
  EXPECT_THAT(ApplyOverride("sca.batch_size=1", &config), StatusIs(kInvalid, HasSubstr("nearest: sac")));
  EXPECT_FALSE(config.has_sac()) << "a failed override must change nothing";
}

TEST(ApplyOverrideTest, RefusesWhatDoesNotFit) {
  RunConfig config = Parse("sac { hidden_sizes: [1] }");
  const std::string before = ToTextProto(config);
  for (const char* assignment : {"sac.batch_size=many",
                                 "sac.batch_size=1.5",
                                 "sac.batch_size=",
                                 "sac.batch_size=1 tau: 2",
                                 "sac.batch_size=[1]",
                                 "sac.hidden_sizes[5]=1",
                                 "sac.hidden_sizes[-1]=1",
                                 "sac.hidden_sizes[0]=[1,2]",
                                 "sac.hidden_sizes[]=1",
                                 "sac.batch_size[0]=1",
                                 "sac.tau.x=1",
                                 "sac=3",
                                 "replay.tables[0].max_rows=1",
                                 "replay.tables.max_rows=1",
                                 "planner.objective=best",
                                 "sac",
                                 "=1",
                                 "",
                                 "sac..tau=1",
                                 "sac.hidden_sizes=[1",
                                 "sac.hidden_sizes=[a]"}) {
    EXPECT_THAT(ApplyOverride(assignment, &config), StatusIs(kInvalid, ::testing::Not(IsEmpty())))
        << assignment;
  }
  EXPECT_EQ(ToTextProto(config), before);
  EXPECT_THAT(ApplyOverride("sac.batch_size=many", &config),
              StatusIs(kInvalid, AllOf(HasSubstr("sac.batch_size is int32"), HasSubstr("\"many\""))));
  EXPECT_THAT(ApplyOverride("planner.objective=best", &config),
              StatusIs(kInvalid, HasSubstr("OBJECTIVE_SOFTMAX")));
}

TEST(FillDefaultsTest, ShowsAllThatIsInEffectAndKeepsWhatIsSet) {
  RunConfig config = Parse("sac { batch_size: 7 } replay { tables { name: 'env' } }");
  FillDefaults(&config);
  EXPECT_EQ(config.sac().batch_size(), 7);
  EXPECT_TRUE(config.sac().has_tau());
  EXPECT_TRUE(config.has_model());
  EXPECT_TRUE(config.model().has_ensemble_size());
  EXPECT_TRUE(config.replay().tables(0).has_selector());
  EXPECT_THAT(ToTextProto(config), HasSubstr("tau: 0.005"));
}

TEST(FillDefaultsTest, AbsenceThatMeansSomethingStays) {
  RunConfig config = Parse("services { replay {} }");
  FillDefaults(&config);
  EXPECT_FALSE(config.planner().has_horizon());
  EXPECT_FALSE(config.sac().has_real_ratio());
  EXPECT_FALSE(config.sac().has_target_entropy());
  EXPECT_FALSE(config.services().has_actor());
  EXPECT_EQ(config.services().replay().drain_timeout_s(), 10);
  EXPECT_TRUE(config.services().replay().has_drain_timeout_s());
}

TEST(FillDefaultsTest, DefaultsAreWithinTheirRanges) {
  RunConfig config = Parse("replay { tables { rate_limiter {} } } planner { horizon {} }");
  FillDefaults(&config);
  EXPECT_OK(ValidateRanges(config));
}

TEST(ValidateRangesTest, NamesEachOffenderAndWhatIsAllowed) {
  const RunConfig config =
      Parse("sac { tau: 0 batch_size: 65537 hidden_sizes: [8, 0] } model { ensemble_size: -1 }");
  EXPECT_THAT(
      ValidateRanges(config),
      StatusIs(kInvalid, AllOf(HasSubstr("sac.tau is 0, allowed is above 0 and at most 1"),
                               HasSubstr("sac.batch_size is 65537"), HasSubstr("sac.hidden_sizes[1] is 0"),
                               HasSubstr("model.ensemble_size is -1"))));
}

TEST(ValidateRangesTest, BoundsAreInclusiveUnlessAboveMin) {
  EXPECT_OK(ValidateRanges(Parse("sac { tau: 1 discount: 0 batch_size: 1 }")));
  EXPECT_OK(ValidateRanges(Parse("sac { batch_size: 65536 }")));
}

TEST(ValidateRangesTest, NumbersMustBeFinite) {
  EXPECT_THAT(ValidateRanges(Parse("sac { discount: nan }")),
              StatusIs(kInvalid, HasSubstr("sac.discount is nan")));
  EXPECT_THAT(ValidateRanges(Parse("sac { log_stddev_max: inf }")),
              StatusIs(kInvalid, HasSubstr("sac.log_stddev_max is inf")));
}

TEST(DifferencesTest, NamesEachPathAndBothValues) {
  const RunConfig a =
      Parse("seed: 1 sac { hidden_sizes: [1, 2] } replay { tables { name: 'env' max_rows: 5 } }");
  const RunConfig b =
      Parse("seed: 2 sac { hidden_sizes: [1] } replay { tables { name: 'env' } } planner { horizon { } }");
  EXPECT_THAT(Differences(a, b),
              ElementsAre("seed: 1 != 2", "replay.tables[0].max_rows: 5 != 1000000",
                          HasSubstr("planner: (not set)"), "sac.hidden_sizes: [1, 2] != [1]"));
}

TEST(DifferencesTest, AnUnsetFieldEqualsItsDefault) {
  EXPECT_THAT(Differences(Parse("sac { tau: 0.005 }"), Parse("sac {}")), IsEmpty());
}

TEST(ConfigHashTest, DependsOnEveryValue) {
  const std::string hash = ConfigHash(Parse("seed: 1"));
  EXPECT_EQ(hash.size(), 16);
  EXPECT_EQ(hash, ConfigHash(Parse("seed: 1")));
  EXPECT_NE(hash, ConfigHash(Parse("seed: 2")));
}

TEST(ToTextProtoTest, CanBeReadBack) {
  RunConfig config = Parse("sac { hidden_sizes: [1, 2] tau: 0.1 } planner { objective: OBJECTIVE_NONE }");
  FillDefaults(&config);
  EXPECT_EQ(ToTextProto(Parse(ToTextProto(config))), ToTextProto(config));
}

}  // namespace
}  // namespace demorl
