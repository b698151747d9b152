#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

namespace demorl {

using MetricLabels = std::map<std::string, std::string>;

// Instruments. Thread-safe; never used in a real-time control thread.
class Counter {
 public:
  virtual ~Counter() = default;
  virtual void Increment(double amount = 1) = 0;
  virtual double Value() const = 0;
};

class Gauge {
 public:
  virtual ~Gauge() = default;
  virtual void Set(double value) = 0;
  virtual double Value() const = 0;
};

class Histogram {
 public:
  virtual ~Histogram() = default;
  virtual void Observe(double value) = 0;
};

// Where a component gets its instruments from. Asking twice for the same name and labels gives the same
// instrument, which lives as long as the registry. Names: demorl_<service>_<what>_<unit>, with _total on
// counters. Thread-safe.
class Metrics {
 public:
  virtual ~Metrics() = default;
  virtual Counter& GetCounter(const std::string& name, const std::string& help,
                              const MetricLabels& labels = {}) = 0;
  virtual Gauge& GetGauge(const std::string& name, const std::string& help,
                          const MetricLabels& labels = {}) = 0;
  virtual Histogram& GetHistogram(const std::string& name, const std::string& help,
                                  const std::vector<double>& upper_bounds,
                                  const MetricLabels& labels = {}) = 0;
};

// Keeps values but exports nothing: for tests and for cores used as a library.
std::unique_ptr<Metrics> MakeLocalMetrics();

}  // namespace demorl
