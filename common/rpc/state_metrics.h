#pragma once

#include <array>
#include <string>

#include "absl/strings/string_view.h"
#include "common/metrics/metrics.h"
#include "common/rpc/service_component.h"

namespace demorl {

// What a component says of its state, for dashboards: 1 at one of demorl_service_state{service, state}.
// Thread-compatible.
class StateMetrics {
 public:
  StateMetrics(Metrics& metrics, absl::string_view service) {
    for (size_t i = 0; i < kNames.size(); ++i) {
      gauges_[i] = &metrics.GetGauge("demorl_service_state", "1 for the state that the service is in",
                                     {{"service", std::string(service)}, {"state", kNames[i]}});
    }
  }

  void Set(ComponentState state) {
    for (size_t i = 0; i < kNames.size(); ++i) {
      gauges_[i]->Set(static_cast<size_t>(state) == i ? 1 : 0);
    }
  }

 private:
  // In the order of ComponentState.
  static constexpr std::array kNames = {"starting", "running", "paused", "draining", "unhealthy"};

  std::array<Gauge*, kNames.size()> gauges_{};
};

}  // namespace demorl
