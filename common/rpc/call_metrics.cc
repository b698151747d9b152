#include "common/rpc/call_metrics.h"

#include <array>
#include <map>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/base/clock.h"
#include "common/rpc/grpc_status.h"

namespace demorl {
namespace {

using grpc::experimental::ClientRpcInfo;
using grpc::experimental::InterceptionHookPoints;
using grpc::experimental::Interceptor;
using grpc::experimental::InterceptorBatchMethods;
using grpc::experimental::ServerRpcInfo;

constexpr int kNumCodes = 17;  // OK to UNAUTHENTICATED

std::vector<double> SecondsBounds() {
  return {1e-4, 3e-4, 1e-3, 3e-3, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 60, 600};
}

// The instruments of one method, with all codes from the start, so that rates see a first failure.
class MethodInstruments {
 public:
  // `prefix` is grpc_server or grpc_client, `method` "/package.Service/Method".
  MethodInstruments(Metrics& metrics, const std::string& prefix, absl::string_view method) {
    method.remove_prefix(method.find('/') == 0 ? 1 : 0);
    const size_t slash = method.find('/');
    MetricLabels labels = {
        {"grpc_service", std::string(method.substr(0, slash))},
        {"grpc_method",
         slash == absl::string_view::npos ? std::string() : std::string(method.substr(slash + 1))}};
    started_ = &metrics.GetCounter(prefix + "_started_total", "Calls that have begun", labels);
    seconds_ = &metrics.GetHistogram(prefix + "_handling_seconds", "From the start of a call to its status",
                                     SecondsBounds(), labels);
    for (int code = 0; code < kNumCodes; ++code) {
      labels["grpc_code"] = absl::StatusCodeToString(static_cast<absl::StatusCode>(code));
      handled_[code] =
          &metrics.GetCounter(prefix + "_handled_total", "Calls that have ended, by their status", labels);
    }
  }

  void Started() { started_->Increment(); }
  void Ended(int code, absl::Duration took) {
    handled_[code >= 0 && code < kNumCodes ? code : grpc::StatusCode::UNKNOWN]->Increment();
    seconds_->Observe(absl::ToDoubleSeconds(took));
  }

 private:
  Counter* started_;
  Histogram* seconds_;
  std::array<Counter*, kNumCodes> handled_{};
};

// By method; made at a method's first call. Thread-safe.
class AllInstruments {
 public:
  AllInstruments(Metrics* metrics, std::string prefix) : metrics_(*metrics), prefix_(std::move(prefix)) {}

  MethodInstruments& Find(const char* method) {
    absl::MutexLock lock(&mutex_);
    const auto found = methods_.find(absl::string_view(method));
    return found != methods_.end() ? found->second
                                   : methods_.try_emplace(method, metrics_, prefix_, method).first->second;
  }

 private:
  Metrics& metrics_;
  const std::string prefix_;
  absl::Mutex mutex_;
  // std::map: references stay valid.
  std::map<std::string, MethodInstruments, std::less<>> methods_ ABSL_GUARDED_BY(mutex_);
};

// Of one call.
class CallTimer final : public Interceptor {
 public:
  CallTimer(MethodInstruments& instruments, InterceptionHookPoints end)
      : instruments_(instruments), end_(end), start_(RealClock::Get().Now()) {
    instruments_.Started();
  }

  void Intercept(InterceptorBatchMethods* methods) override {
    if (methods->QueryInterceptionHookPoint(end_)) {
      const int code = end_ == InterceptionHookPoints::PRE_SEND_STATUS
                           ? methods->GetSendStatus().error_code()
                           : methods->GetRecvStatus()->error_code();
      instruments_.Ended(code, RealClock::Get().Now() - start_);
    }
    methods->Proceed();
  }

 private:
  MethodInstruments& instruments_;
  const InterceptionHookPoints end_;
  const absl::Duration start_;
};

class ServerCallMetrics final : public grpc::experimental::ServerInterceptorFactoryInterface {
 public:
  explicit ServerCallMetrics(Metrics* metrics) : instruments_(metrics, "grpc_server") {}
  Interceptor* CreateServerInterceptor(ServerRpcInfo* info) override {
    return new CallTimer(instruments_.Find(info->method()), InterceptionHookPoints::PRE_SEND_STATUS);
  }

 private:
  AllInstruments instruments_;
};

class ClientCallMetrics final : public grpc::experimental::ClientInterceptorFactoryInterface {
 public:
  explicit ClientCallMetrics(Metrics* metrics) : instruments_(metrics, "grpc_client") {}
  Interceptor* CreateClientInterceptor(ClientRpcInfo* info) override {
    return new CallTimer(instruments_.Find(info->method()), InterceptionHookPoints::POST_RECV_STATUS);
  }

 private:
  AllInstruments instruments_;
};

}  // namespace

std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface> MakeServerCallMetrics(
    Metrics* metrics) {
  return std::make_unique<ServerCallMetrics>(metrics);
}

std::unique_ptr<grpc::experimental::ClientInterceptorFactoryInterface> MakeClientCallMetrics(
    Metrics* metrics) {
  return std::make_unique<ClientCallMetrics>(metrics);
}

}  // namespace demorl
