// Which policy a collection loop acts by.

#include <algorithm>
#include <cmath>

#include "gtest/gtest.h"
#include "tests/fakes/fake_trace_log.h"
#include "tests/fakes/policies.h"
#include "tests/testing/status_matchers.h"
#include "tests/unit/actor/collection_loop_fixture.h"

namespace demorl {
namespace {

using ::demorl::testing::StatusIs;
using ::testing::HasSubstr;

TEST_F(CollectionLoopTest, ActsAtRandomUntilLearningStartsAndWithThePolicyAfterwards) {
  policies_.Publish(3, ConstantPolicy(3, 2, 0.5f));
  const auto loop = Make({.environment_steps = 60, .learning_starts = 20, .max_run_ahead_steps = 25});
  loop->Start();
  ASSERT_TRUE(Finishes(*loop));
  ASSERT_OK(loop->Drain(Soon()));
  std::vector<uint64_t> expected(60, 3);
  std::fill_n(expected.begin(), 20, 0);
  EXPECT_EQ(Versions(), expected);
}

TEST_F(CollectionLoopTest, WaitsForItsFirstPolicyOnceLearningHasStarted) {
  const auto loop = Make({.environment_steps = 60,
                          .learning_starts = 20,
                          .max_run_ahead_steps = 25,
                          .first_policy_wait = absl::Seconds(30)});
  loop->Start();
  ASSERT_TRUE(table_.Await([this] { return table_.rows == 20; }));
  policies_.Publish(2, ConstantPolicy(3, 2, 0.5f));
  ASSERT_TRUE(Finishes(*loop));
  ASSERT_OK(loop->Drain(Soon()));
  std::vector<uint64_t> expected(60, 2);
  std::fill_n(expected.begin(), 20, 0);
  EXPECT_EQ(Versions(), expected);
}

TEST_F(CollectionLoopTest, AdoptsNewPoliciesAlsoAfterTheLastStepForEvaluationsToUse) {
  policies_.Publish(1, ConstantPolicy(3, 2, 0.5f));
  const auto loop = Make({.environment_steps = 10, .max_run_ahead_steps = 25});
  loop->Start();
  ASSERT_TRUE(Finishes(*loop));
  policies_.Publish(2, ConstantPolicy(3, 2, 0.5f));
  ASSERT_TRUE(
      AwaitStatus(*loop, [](const auto& status) { return status.figures.at("policy_version") == 2; }));
  EXPECT_EQ(loop->CurrentPolicy()->version, 2u);
  EXPECT_EQ(loop->Status().detail, "finished");
  ASSERT_OK(loop->Drain(Soon()));
}

TEST_F(CollectionLoopTest, SwapsPoliciesWhileItRunsAndKeepsTheLastGoodOne) {
  table_.rows_allowed = 5;
  policies_.Publish(1, ConstantPolicy(3, 2, 0.1f));
  const auto loop = Make({.environment_steps = 1000, .max_run_ahead_steps = 25}, {.episode_steps = 1000});
  loop->Start();
  const auto grow = [this](int64_t rows) {
    AllowRows(rows);
    return table_.Await([this, rows] { return table_.rows == rows; });
  };
  ASSERT_TRUE(grow(5));
  const auto figure = [&](const char* name, double value) {
    return AwaitStatus(*loop, [&](const auto& status) {
      const auto found = status.figures.find(name);
      return found != status.figures.end() && found->second == value;
    });
  };
  policies_.Publish(2, ConstantPolicy(3, 2, 0.2f));
  ASSERT_TRUE(figure("policy_version", 2));
  ASSERT_TRUE(grow(10));
  policies_.Publish(3, ConstantPolicy(3, 2, std::nanf("")));
  ASSERT_TRUE(figure("policies_refused", 1));
  policies_.Publish(4, ConstantPolicy(4, 2, 0.4f));
  ASSERT_TRUE(figure("policies_refused", 2));
  ASSERT_TRUE(grow(15));
  ASSERT_TRUE(figure("policy_lag", 2));
  EXPECT_EQ(loop->CurrentPolicy()->version, 2u);
  EXPECT_EQ(loop->Status().state, ComponentState::kRunning);
  policies_.Publish(5, ConstantPolicy(3, 2, 0.5f));
  ASSERT_TRUE(figure("policy_version", 5));
  ASSERT_OK(loop->Drain(Soon()));
  const std::vector<uint64_t> versions = Versions();
  EXPECT_EQ(versions, (std::vector<uint64_t>{1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2}));
  EXPECT_EQ(metrics_.policies_refused.Value(), 2);
}

TEST_F(CollectionLoopTest, BecomesUnhealthyAfterTooManyUnusablePolicies) {
  table_.rows_allowed = 1;
  const auto loop = Make({.environment_steps = 1000, .max_run_ahead_steps = 25, .max_failures = 2});
  loop->Start();
  for (int i = 1; i <= 2; ++i) {
    policies_.Publish(i, ConstantPolicy(4, 2, 0.1f));
    AwaitStatus(*loop, [&](const auto& status) {
      return status.state == ComponentState::kUnhealthy || metrics_.policies_refused.Value() == i;
    });
  }
  ASSERT_TRUE(BecomesUnhealthy(*loop));
  EXPECT_THAT(loop->Status().detail, HasSubstr("2 policies in a row"));
  EXPECT_THAT(loop->Drain(Soon()), StatusIs(absl::StatusCode::kInternal, HasSubstr("2 policies")));
}

TEST_F(CollectionLoopTest, ChunksBeginTracesAndThoseOfAPolicyEndAtItsFirstStep) {
  FakeTraceLog log;
  trace_log_ = &log;
  const TraceContext learned = {.trace_id = {200}, .span_id = {200}};
  policies_.Publish(3, ConstantPolicy(3, 2, 0.5f), {learned});
  const auto loop = Make({.environment_steps = 60, .learning_starts = 20, .max_run_ahead_steps = 25});
  loop->Start();
  ASSERT_TRUE(Finishes(*loop));
  ASSERT_OK(loop->Drain(Soon()));
  std::vector<FakeTraceLog::Span> collected;
  int num_applied = 0;
  for (const FakeTraceLog::Span& span : log.spans()) {
    EXPECT_LE(span.content.start, span.content.end);
    if (span.content.name == "collect") {
      EXPECT_FALSE(span.parent.has_value());
      collected.push_back(span);
    } else {
      EXPECT_EQ(span.content.name, "apply");
      EXPECT_EQ(span.parent, learned);
      ++num_applied;
    }
  }
  EXPECT_EQ(num_applied, 1);
  ASSERT_EQ(collected.size(), table_.chunks.size());
  for (size_t i = 0; i < collected.size(); ++i) {
    EXPECT_EQ(table_.chunks[i].trace, collected[i].context);
  }
}

}  // namespace
}  // namespace demorl
