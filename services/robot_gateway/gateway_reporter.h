#pragma once

#include <cstdint>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/robot/realtime/control_loop.h"
#include "services/robot_gateway/core/state_board.h"
#include "services/robot_gateway/robot_gateway_metrics.h"

namespace demorl {

// Turns what a gateway's parts know of themselves into metrics and lines of the log. Of the housekeeping
// thread, but for TakeWorst.
class GatewayReporter {
 public:
  // What is reported beside a robot's state. The counts are those since the start.
  struct Figures {
    int64_t spool_bytes = 0;
    uint64_t policy_version = 0;
    uint64_t dropped_records = 0;
    uint64_t policies_refused = 0;
  };
  struct WorstTiming {
    absl::Duration wake_up;
    absl::Duration compute;
  };

  // Borrows `metrics`.
  GatewayReporter(std::string robot_name, RobotGatewayMetrics* metrics)
      : robot_name_(std::move(robot_name)), metrics_(*metrics) {}

  void Observe(const TickTiming& timing);

  // A change of state is logged once.
  void Report(const StateBoard::Summary& summary, const Figures& figures);

  // The worst of what was observed since the last call. Any thread.
  WorstTiming TakeWorst();

 private:
  void LogState(RobotState state, StopReason reason);
  void ReportSummary(const StateBoard::Summary& summary);

  const std::string robot_name_;
  RobotGatewayMetrics& metrics_;
  RobotState logged_state_ = RobotState::kDisarmed;
  StopReason logged_reason_ = StopReason::kNone;

  absl::Mutex mutex_;
  WorstTiming worst_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace demorl
