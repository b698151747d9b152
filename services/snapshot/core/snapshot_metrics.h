#pragma once

#include <string>

#include "common/metrics/metrics.h"

namespace demorl {

// The instruments of the snapshot service. `kind` is policy, value or dynamics.
struct SnapshotMetrics {
  explicit SnapshotMetrics(Metrics* registry) : registry(*registry) {}

  Counter& Published(const std::string& kind) {
    return registry.GetCounter("demorl_snapshot_published_total", "Versions stored", {{"kind", kind}});
  }
  // reason: digest, malformed, non_finite, mismatch, run, storage.
  Counter& Refused(const std::string& kind, const std::string& reason) {
    return registry.GetCounter("demorl_snapshot_refused_total", "Publications refused",
                               {{"kind", kind}, {"reason", reason}});
  }
  Counter& Damaged(const std::string& kind) {
    return registry.GetCounter("demorl_snapshot_damaged_total", "Stored versions found damaged and set aside",
                               {{"kind", kind}});
  }
  Gauge& CurrentVersion(const std::string& kind) {
    return registry.GetGauge("demorl_snapshot_current_version", "Version that watchers receive",
                             {{"kind", kind}});
  }
  Gauge& Watchers() { return registry.GetGauge("demorl_snapshot_watchers", "Open watch streams"); }

  Metrics& registry;
};

}  // namespace demorl
