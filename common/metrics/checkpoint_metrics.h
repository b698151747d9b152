#pragma once

#include <string>

#include "common/metrics/metrics.h"

namespace demorl {

// A service's instruments of its checkpoints: demorl_<service>_checkpoints_total and so on.
struct CheckpointMetrics {
  CheckpointMetrics(Metrics& metrics, const std::string& service)
      : written(metrics.GetCounter("demorl_" + service + "_checkpoints_total", "Checkpoints written")),
        failures(metrics.GetCounter("demorl_" + service + "_checkpoint_failures_total",
                                    "Checkpoints that could not be written")),
        damaged(metrics.GetCounter("demorl_" + service + "_damaged_checkpoints_total",
                                   "Checkpoints passed over at start because they are damaged")) {}

  Counter& written;
  Counter& failures;
  Counter& damaged;
};

}  // namespace demorl
