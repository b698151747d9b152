#include "services/robot_gateway/gateway_reporter.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "spdlog/spdlog.h"

namespace demorl {
namespace {

// Brings a counter up to what was counted elsewhere.
void Raise(Counter& counter, uint64_t count) {
  counter.Increment(static_cast<double>(count) - counter.Value());
}

}  // namespace

void GatewayReporter::Observe(const TickTiming& timing) {
  metrics_.wake_up_s.Observe(1e-9 * static_cast<double>(timing.wake_up_latency_ns));
  metrics_.compute_s.Observe(1e-9 * static_cast<double>(timing.compute_ns));
  metrics_.ticks.Increment();
  metrics_.missed_ticks.Increment(static_cast<double>(timing.missed));
  absl::MutexLock lock(&mutex_);
  worst_.wake_up = std::max(worst_.wake_up, absl::Nanoseconds(timing.wake_up_latency_ns));
  worst_.compute = std::max(worst_.compute, absl::Nanoseconds(timing.compute_ns));
}

GatewayReporter::WorstTiming GatewayReporter::TakeWorst() {
  absl::MutexLock lock(&mutex_);
  return std::exchange(worst_, {});
}

void GatewayReporter::Report(const StateBoard::Summary& summary, const Figures& figures) {
  LogState(summary.last.state, summary.last.reason);
  ReportSummary(summary);
  metrics_.spool_bytes.Set(static_cast<double>(figures.spool_bytes));
  metrics_.policy_version.Set(static_cast<double>(figures.policy_version));
  Raise(metrics_.dropped_records, figures.dropped_records);
  Raise(metrics_.policies_refused, figures.policies_refused);
}

// What forbids arming a robot changes often, and is not news.
void GatewayReporter::LogState(RobotState state, StopReason reason) {
  if (state == logged_state_ && (reason == logged_reason_ || state == RobotState::kDisarmed)) {
    return;
  }
  spdlog::info("{}: {}{}", robot_name_, std::string(Name(state)),
               reason == StopReason::kNone ? "" : absl::StrCat(" (", Name(reason), ")"));
  logged_state_ = state;
  logged_reason_ = reason;
}

void GatewayReporter::ReportSummary(const StateBoard::Summary& summary) {
  for (int i = 0; i < kNumRobotStates; ++i) {
    metrics_.states[i]->Set(static_cast<int>(summary.last.state) == i ? 1 : 0);
  }
  for (int i = 0; i < kNumClamps; ++i) {
    Raise(*metrics_.clamps[i], summary.clamps[i]);
  }
  for (size_t i = 0; summary.ticking && i < metrics_.joints.size(); ++i) {
    const JointMeasurement& measured = summary.last.measured[i];
    metrics_.joints[i].temperature.Set(measured.temperature_c);
    metrics_.joints[i].voltage.Set(measured.voltage_v);
    metrics_.joints[i].torque.Set(measured.torque_nm);
  }
  Raise(metrics_.episodes, summary.episodes);
  if (summary.episodes > 0) {
    metrics_.last_return.Set(summary.last_return);
  }
}

}  // namespace demorl
