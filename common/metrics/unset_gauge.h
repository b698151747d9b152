#pragma once

#include <limits>
#include <string>

#include "common/metrics/metrics.h"

namespace demorl {

// A gauge of something that has yet to happen, a return, a loss, a measurement: NaN until it is set, for no
// average and no curve may take it for a 0.
inline Gauge& GetUnsetGauge(Metrics& metrics, const std::string& name, const std::string& help,
                            const MetricLabels& labels = {}) {
  Gauge& gauge = metrics.GetGauge(name, help + "; NaN before the first", labels);
  gauge.Set(std::numeric_limits<double>::quiet_NaN());
  return gauge;
}

}  // namespace demorl
