#include "common/metrics/prometheus_metrics.h"

#include <exception>
#include <map>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "common/metrics/process_figures.h"
#include "prometheus/collectable.h"
#include "prometheus/counter.h"
#include "prometheus/exposer.h"
#include "prometheus/gauge.h"
#include "prometheus/histogram.h"
#include "prometheus/registry.h"

namespace demorl {
namespace {

class PrometheusCounter final : public Counter {
 public:
  explicit PrometheusCounter(prometheus::Counter& counter) : counter_(counter) {}
  void Increment(double amount) override { counter_.Increment(amount); }
  double Value() const override { return counter_.Value(); }

 private:
  prometheus::Counter& counter_;
};

class PrometheusGauge final : public Gauge {
 public:
  explicit PrometheusGauge(prometheus::Gauge& gauge) : gauge_(gauge) {}
  void Set(double value) override { gauge_.Set(value); }
  double Value() const override { return gauge_.Value(); }

 private:
  prometheus::Gauge& gauge_;
};

class PrometheusHistogram final : public Histogram {
 public:
  explicit PrometheusHistogram(prometheus::Histogram& histogram) : histogram_(histogram) {}
  void Observe(double value) override { histogram_.Observe(value); }

 private:
  prometheus::Histogram& histogram_;
};

// The process's own figures under the names that Prometheus' client libraries share, read at each scrape.
class ProcessCollector final : public prometheus::Collectable {
 public:
  std::vector<prometheus::MetricFamily> Collect() const override {
    const absl::StatusOr<ProcessFigures> figures = ReadProcessFigures();
    if (!figures.ok()) {
      return {};
    }
    return {
        Counter("process_cpu_seconds_total", "User and system CPU time", figures->cpu_seconds),
        Gauge("process_resident_memory_bytes", "Memory in RAM", figures->resident_memory_bytes),
        Gauge("process_virtual_memory_bytes", "Address space", figures->virtual_memory_bytes),
        Gauge("process_start_time_seconds", "Start of the process since 1970", figures->start_time_seconds),
        Gauge("process_threads", "Threads", figures->threads),
        Gauge("process_open_fds", "Open file descriptors", figures->open_fds),
        Gauge("process_max_fds", "File descriptors that may be open", figures->max_fds)};
  }

 private:
  static prometheus::MetricFamily Counter(const char* name, const char* help, double value) {
    prometheus::ClientMetric metric;
    metric.counter.value = value;
    return {name, help, prometheus::MetricType::Counter, {metric}};
  }
  static prometheus::MetricFamily Gauge(const char* name, const char* help, double value) {
    prometheus::ClientMetric metric;
    metric.gauge.value = value;
    return {name, help, prometheus::MetricType::Gauge, {metric}};
  }
};

class PrometheusMetricsImpl final : public PrometheusMetrics {
 public:
  PrometheusMetricsImpl(std::unique_ptr<prometheus::Exposer> exposer, int port)
      : registry_(std::make_shared<prometheus::Registry>()), exposer_(std::move(exposer)), port_(port) {
    exposer_->RegisterCollectable(registry_);
    exposer_->RegisterCollectable(process_);
  }

  int port() const override { return port_; }

  Counter& GetCounter(const std::string& name, const std::string& help, const MetricLabels& labels) override {
    absl::MutexLock lock(&mutex_);
    auto& family = prometheus::BuildCounter().Name(name).Help(help).Register(*registry_);
    return counters_.try_emplace({name, labels}, family.Add(labels)).first->second;
  }

  Gauge& GetGauge(const std::string& name, const std::string& help, const MetricLabels& labels) override {
    absl::MutexLock lock(&mutex_);
    auto& family = prometheus::BuildGauge().Name(name).Help(help).Register(*registry_);
    return gauges_.try_emplace({name, labels}, family.Add(labels)).first->second;
  }

  Histogram& GetHistogram(const std::string& name, const std::string& help,
                          const std::vector<double>& upper_bounds, const MetricLabels& labels) override {
    absl::MutexLock lock(&mutex_);
    auto& family = prometheus::BuildHistogram().Name(name).Help(help).Register(*registry_);
    return histograms_.try_emplace({name, labels}, family.Add(labels, upper_bounds)).first->second;
  }

 private:
  using Key = std::pair<std::string, MetricLabels>;

  const std::shared_ptr<prometheus::Registry> registry_;
  const std::shared_ptr<ProcessCollector> process_ = std::make_shared<ProcessCollector>();
  const std::unique_ptr<prometheus::Exposer> exposer_;
  const int port_;
  absl::Mutex mutex_;
  std::map<Key, PrometheusCounter> counters_ ABSL_GUARDED_BY(mutex_);
  std::map<Key, PrometheusGauge> gauges_ ABSL_GUARDED_BY(mutex_);
  std::map<Key, PrometheusHistogram> histograms_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace

absl::StatusOr<std::unique_ptr<PrometheusMetrics>> PrometheusMetrics::Create(const std::string& address) {
  const size_t colon = address.rfind(':');
  int port = -1;
  if (colon == std::string::npos || !absl::SimpleAtoi(address.substr(colon + 1), &port) || port < 0 ||
      port > 65535) {
    return absl::InvalidArgumentError(absl::StrCat("metrics address is \"", address,
                                                   "\", expected \"host:port\" with a port of 0 to 65535"));
  }
  try {
    // The scrape is small and rare: two threads serve it. "*:port" listens everywhere.
    const bool any_host = colon == 0 || address[0] == '*';
    auto exposer = std::make_unique<prometheus::Exposer>(any_host ? address.substr(colon + 1) : address, 2);
    const auto ports = exposer->GetListeningPorts();
    return std::make_unique<PrometheusMetricsImpl>(std::move(exposer), ports.empty() ? port : ports.front());
  } catch (const std::exception& error) {
    return absl::UnavailableError(absl::StrCat("cannot serve metrics on ", address,
                                               ": the address is in use or not of this machine (",
                                               error.what(), ")"));
  }
}

}  // namespace demorl
