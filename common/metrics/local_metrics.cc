#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "common/metrics/metrics.h"

namespace demorl {
namespace {

class LocalCounter final : public Counter {
 public:
  void Increment(double amount) override {
    absl::MutexLock lock(&mutex_);
    value_ += amount;
  }
  double Value() const override {
    absl::MutexLock lock(&mutex_);
    return value_;
  }

 private:
  mutable absl::Mutex mutex_;
  double value_ ABSL_GUARDED_BY(mutex_) = 0;
};

class LocalGauge final : public Gauge {
 public:
  void Set(double value) override {
    absl::MutexLock lock(&mutex_);
    value_ = value;
  }
  double Value() const override {
    absl::MutexLock lock(&mutex_);
    return value_;
  }

 private:
  mutable absl::Mutex mutex_;
  double value_ ABSL_GUARDED_BY(mutex_) = 0;
};

// Nobody can read a histogram back, so nothing is kept.
class LocalHistogram final : public Histogram {
 public:
  void Observe(double) override {}
};

class LocalMetrics final : public Metrics {
 public:
  Counter& GetCounter(const std::string& name, const std::string&, const MetricLabels& labels) override {
    absl::MutexLock lock(&mutex_);
    return counters_[{name, labels}];
  }
  Gauge& GetGauge(const std::string& name, const std::string&, const MetricLabels& labels) override {
    absl::MutexLock lock(&mutex_);
    return gauges_[{name, labels}];
  }
  Histogram& GetHistogram(const std::string& name, const std::string&, const std::vector<double>&,
                          const MetricLabels& labels) override {
    absl::MutexLock lock(&mutex_);
    return histograms_[{name, labels}];
  }

 private:
  using Key = std::pair<std::string, MetricLabels>;

  absl::Mutex mutex_;
  // std::map: references stay valid.
  std::map<Key, LocalCounter> counters_ ABSL_GUARDED_BY(mutex_);
  std::map<Key, LocalGauge> gauges_ ABSL_GUARDED_BY(mutex_);
  std::map<Key, LocalHistogram> histograms_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace

std::unique_ptr<Metrics> MakeLocalMetrics() { return std::make_unique<LocalMetrics>(); }

}  // namespace demorl
