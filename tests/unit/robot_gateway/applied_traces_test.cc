#include "services/robot_gateway/applied_traces.h"

#include "absl/time/clock.h"
#include "common/base/clock.h"
#include "gtest/gtest.h"
#include "tests/fakes/fake_trace_log.h"
#include "tests/unit/robot_gateway/robot_ticks.h"

namespace demorl {
namespace {

using ::demorl::testing::RobotTick;

const TraceContext kTrace = {.trace_id = {1}, .span_id = {1}};

TickRecord TickOf(uint64_t policy_version, ActionSource source = ActionSource::kPolicy) {
  TickRecord tick = RobotTick(1);
  tick.policy_version = policy_version;
  tick.source = source;
  tick.finished_ns = absl::ToInt64Nanoseconds(RealClock::Get().Now());
  return tick;
}

TEST(AppliedTracesTest, ATraceEndsAtTheFirstTickThatActsByItsPolicy) {
  FakeTraceLog log;
  AppliedTraces traces(&log);
  const absl::Time start = absl::Now();
  traces.Offered(7, {kTrace}, start);
  traces.OnTick(TickOf(6));
  traces.OnTick(TickOf(7, ActionSource::kNone));  // has it, and does not move
  traces.OnTick(TickOf(7, ActionSource::kOperator));
  EXPECT_TRUE(log.spans().empty());
  traces.OnTick(TickOf(7));
  traces.OnTick(TickOf(7));
  ASSERT_EQ(log.spans().size(), 1u);
  const FakeTraceLog::Span span = log.spans()[0];
  EXPECT_EQ(span.content.name, "apply");
  EXPECT_EQ(span.parent, kTrace);
  EXPECT_EQ(span.content.start, start);
  EXPECT_GE(span.content.end, start - absl::Milliseconds(1));
  EXPECT_LE(span.content.end, absl::Now() + absl::Milliseconds(1));
}

TEST(AppliedTracesTest, APolicyThatReplacesAnUnusedOneTakesItsTracesOver) {
  FakeTraceLog log;
  AppliedTraces traces(&log);
  traces.Offered(7, {kTrace}, absl::Now());
  traces.Offered(8, {}, absl::Now());
  traces.Offered(9, {{.trace_id = {2}, .span_id = {2}}}, absl::Now());
  traces.OnTick(TickOf(8));
  EXPECT_TRUE(log.spans().empty());
  traces.OnTick(TickOf(9));
  EXPECT_EQ(log.spans().size(), 2u);
}

}  // namespace
}  // namespace demorl
