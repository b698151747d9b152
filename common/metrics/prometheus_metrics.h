#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/metrics/metrics.h"

namespace demorl {

// Instruments that a Prometheus server scrapes at http://<address>/metrics, beside the usual process_* of
// this process. Thread-safe.
class PrometheusMetrics : public Metrics {
 public:
  // `address` is "host:port"; port 0 for any free one. UNAVAILABLE naming the address if it cannot be bound,
  // INVALID_ARGUMENT if it is none.
  static absl::StatusOr<std::unique_ptr<PrometheusMetrics>> Create(const std::string& address);

  // The port that was bound.
  virtual int port() const = 0;
};

}  // namespace demorl
