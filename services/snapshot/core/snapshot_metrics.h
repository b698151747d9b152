#pragma once

#include <string>

#include "common/metrics/metrics.h"

namespace demorl {

// The instruments of the snapshot service; those of all kinds and reasons exist from the start.
struct SnapshotMetrics {
  explicit SnapshotMetrics(Metrics* registry) : registry(*registry) {
    for (const char* kind : {"policy", "value", "dynamics"}) {
      Published(kind);
      Damaged(kind);
      CurrentVersion(kind);
      for (const char* reason : {"digest", "malformed", "non_finite", "mismatch", "run", "storage"}) {
        Refused(kind, reason);
      }
    }
    Watchers();
  }

  Counter& Published(const std::string& kind) {
    return registry.GetCounter("demorl_snapshot_published_total", "Versions stored", {{"kind", kind}});
  }
  Counter& Refused(const std::string& kind, const std::string& reason) {
    return registry.GetCounter("demorl_snapshot_refused_total", "Publications refused",
                               {{"kind", kind}, {"reason", reason}});
  }
  Counter& Damaged(const std::string& kind) {
    return registry.GetCounter("demorl_snapshot_damaged_total", "Stored versions found damaged and set aside",
                               {{"kind", kind}});
  }
  Gauge& CurrentVersion(const std::string& kind) {
    return registry.GetGauge("demorl_snapshot_current_version", "Version that watchers receive; 0 for none",
                             {{"kind", kind}});
  }
  Gauge& Watchers() { return registry.GetGauge("demorl_snapshot_watchers", "Open watch streams"); }

  Metrics& registry;
};

}  // namespace demorl
