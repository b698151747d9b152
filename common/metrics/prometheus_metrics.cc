#include "common/metrics/prometheus_metrics.h"

#include <httplib.h>

#include <chrono>
#include <map>
#include <thread>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "common/metrics/process_figures.h"
#include "prometheus/collectable.h"
#include "prometheus/counter.h"
#include "prometheus/gauge.h"
#include "prometheus/histogram.h"
#include "prometheus/registry.h"
#include "prometheus/text_serializer.h"

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

constexpr int kScrapeThreads = 4;
constexpr std::chrono::seconds kRequestTimeout{1};
constexpr size_t kMaxRequestBytes = 1 << 12;

// Answers scrapes. Differs from prometheus-cpp's own exposer, whose threads have stacks of 100 KiB: where
// thread-local variables of MuJoCo and OpenBLAS take more, they cannot be made, and nothing is served.
class ScrapeServer {
 public:
  explicit ScrapeServer(std::vector<std::shared_ptr<prometheus::Collectable>> sources)
      : sources_(std::move(sources)) {
    // A scrape is small and rare, and has no body; a connection takes a thread until it is closed.
    server_.new_task_queue = [] { return new httplib::ThreadPool(kScrapeThreads); };
    server_.set_keep_alive_max_count(1);
    server_.set_read_timeout(kRequestTimeout);
    server_.set_payload_max_length(kMaxRequestBytes);
    // Without SO_REUSEPORT, which lets two processes share an address.
    server_.set_socket_options([](socket_t socket) {
      const int yes = 1;
      setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
    });
    server_.Get("/metrics", [this](const httplib::Request&, httplib::Response& response) {
      std::vector<prometheus::MetricFamily> families;
      for (const auto& source : sources_) {
        for (prometheus::MetricFamily& family : source->Collect()) {
          families.push_back(std::move(family));
        }
      }
      response.set_content(prometheus::TextSerializer().Serialize(families),
                           "text/plain; version=0.0.4; charset=utf-8");
    });
  }
  ~ScrapeServer() {
    server_.stop();
    if (thread_.joinable()) {
      thread_.join();
    }
  }

  // The port that was bound; -1 if it cannot be.
  int Start(const std::string& host, int port) {
    const int bound =
        port == 0 ? server_.bind_to_any_port(host) : (server_.bind_to_port(host, port) ? port : -1);
    if (bound > 0) {
      thread_ = std::thread([this] { server_.listen_after_bind(); });
      while (!server_.is_running()) {  // stop() of a server that does not run yet does nothing
        absl::SleepFor(absl::Milliseconds(1));
      }
    }
    return bound;
  }

 private:
  const std::vector<std::shared_ptr<prometheus::Collectable>> sources_;
  httplib::Server server_;
  std::thread thread_;
};

class PrometheusMetricsImpl final : public PrometheusMetrics {
 public:
  // False if the address cannot be bound.
  bool Serve(const std::string& host, int port) {
    port_ = server_.Start(host, port);
    return port_ > 0;
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

  const std::shared_ptr<prometheus::Registry> registry_ = std::make_shared<prometheus::Registry>();
  ScrapeServer server_{{registry_, std::make_shared<ProcessCollector>()}};
  int port_ = -1;
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
  // "*:port" and ":port" listen everywhere.
  const std::string host = colon == 0 || address[0] == '*' ? "0.0.0.0" : address.substr(0, colon);
  auto metrics = std::make_unique<PrometheusMetricsImpl>();
  if (!metrics->Serve(host, port)) {
    return absl::UnavailableError(
        absl::StrCat("cannot serve metrics on ", address, ": the address is in use or not of this machine"));
  }
  return metrics;
}

}  // namespace demorl
