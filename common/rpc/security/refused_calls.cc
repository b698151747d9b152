#include "common/rpc/security/refused_calls.h"

#include <optional>

#include "spdlog/spdlog.h"

namespace demorl {

RefusedCalls::RefusedCalls(Metrics* metrics) {
  for (const absl::StatusCode code : {absl::StatusCode::kUnauthenticated, absl::StatusCode::kPermissionDenied,
                                      absl::StatusCode::kResourceExhausted}) {
    refused_[code] =
        metrics == nullptr
            ? nullptr
            : &metrics->GetCounter("demorl_rpc_refused_total", "Calls refused before their handler",
                                   {{"grpc_code", absl::StatusCodeToString(code)}});
  }
}

void RefusedCalls::Note(const absl::Status& status) {
  if (status.ok()) {
    return;
  }
  if (const auto counter = refused_.find(status.code()); counter != refused_.end() && counter->second) {
    counter->second->Increment();
  }
  if (const std::optional<int> left_out = log_throttle_.Admit(); left_out.has_value()) {
    spdlog::warn("a call was refused: {}{}", status.ToString(), LogThrottle::Text(*left_out));
  }
}

}  // namespace demorl
