#include "services/robot_gateway/gateway_reporter.h"

#include <memory>
#include <string>

#include "gmock/gmock.h"

namespace demorl {
namespace {

using ::testing::IsNan;

class GatewayReporterTest : public ::testing::Test {
 protected:
  double Gauge(const std::string& name, const MetricLabels& labels = {}) {
    return registry_->GetGauge("demorl_gateway_" + name, "", labels).Value();
  }
  double Counter(const std::string& name, const MetricLabels& labels = {}) {
    return registry_->GetCounter("demorl_gateway_" + name, "", labels).Value();
  }

  std::unique_ptr<Metrics> registry_ = MakeLocalMetrics();
  RobotGatewayMetrics metrics_{*registry_, {"hip", "knee"}};
  GatewayReporter reporter_{"robot", &metrics_};
};

TEST_F(GatewayReporterTest, CountsTicksAndKeepsTheWorstUntilItIsTaken) {
  reporter_.Observe({.wake_up_latency_ns = 5000, .compute_ns = 90'000});
  reporter_.Observe({.wake_up_latency_ns = 7000, .compute_ns = 20'000, .missed = 2});
  EXPECT_EQ(Counter("ticks_total"), 2);
  EXPECT_EQ(Counter("missed_ticks_total"), 2);
  const GatewayReporter::WorstTiming worst = reporter_.TakeWorst();
  EXPECT_EQ(worst.wake_up, absl::Microseconds(7));
  EXPECT_EQ(worst.compute, absl::Microseconds(90));
  EXPECT_EQ(reporter_.TakeWorst().compute, absl::ZeroDuration());
}

TEST_F(GatewayReporterTest, ShowsTheOneStateThatTheRobotIsIn) {
  StateBoard::Summary summary{.ticking = true};
  summary.last.state = RobotState::kArmed;
  reporter_.Report(summary, {});
  summary.last.state = RobotState::kFault;
  reporter_.Report(summary, {});
  EXPECT_EQ(Gauge("state", {{"state", std::string(Name(RobotState::kArmed))}}), 0);
  EXPECT_EQ(Gauge("state", {{"state", std::string(Name(RobotState::kFault))}}), 1);
}

TEST_F(GatewayReporterTest, CountersFollowTheCountsSinceTheStart) {
  StateBoard::Summary summary{.episodes = 3, .last_return = 12.5};
  summary.clamps[0] = 4;
  for (int i = 0; i < 2; ++i) {
    reporter_.Report(summary,
                     {.spool_bytes = 100, .policy_version = 9, .dropped_records = 5, .policies_refused = 1});
  }
  EXPECT_EQ(Counter("episodes_total"), 3);
  EXPECT_EQ(Counter("clamps_total", {{"reason", std::string(Name(static_cast<Clamp>(0)))}}), 4);
  EXPECT_EQ(Counter("dropped_records_total"), 5);
  EXPECT_EQ(Counter("policies_refused_total"), 1);
  EXPECT_EQ(Gauge("last_return"), 12.5);
  EXPECT_EQ(Gauge("spool_bytes"), 100);
  EXPECT_EQ(Gauge("policy_version"), 9);
}

TEST_F(GatewayReporterTest, ShowsNoReturnBeforeTheFirstEpisode) {
  StateBoard::Summary summary;
  reporter_.Report(summary, {});
  EXPECT_THAT(Gauge("last_return"), IsNan());
  summary.episodes = 1;
  reporter_.Report(summary, {});
  EXPECT_EQ(Gauge("last_return"), 0);
}

TEST_F(GatewayReporterTest, ShowsJointsOnceThereAreTicks) {
  StateBoard::Summary summary;
  summary.last.measured[1].temperature_c = 41;
  reporter_.Report(summary, {});
  EXPECT_THAT(Gauge("joint_temperature_celsius", {{"joint", "knee"}}), IsNan());
  summary.ticking = true;
  reporter_.Report(summary, {});
  EXPECT_EQ(Gauge("joint_temperature_celsius", {{"joint", "knee"}}), 41);
}

}  // namespace
}  // namespace demorl
