#include "common/rpc/security/call_gate.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/rpc/grpc_status.h"
#include "spdlog/spdlog.h"

namespace demorl {
namespace {

std::optional<absl::string_view> Find(const grpc::AuthMetadataProcessor::InputMetadata& metadata,
                                      const char* key) {
  const auto found = metadata.find(key);
  if (found == metadata.end()) {
    return std::nullopt;
  }
  return absl::string_view(found->second.data(), found->second.size());
}

}  // namespace

CallGate::CallGate(std::shared_ptr<AccessControl> access, double max_calls_per_second, Metrics* metrics)
    : access_(std::move(access)), rates_(max_calls_per_second, RealClock::Get()) {
  for (const absl::StatusCode code : {absl::StatusCode::kUnauthenticated, absl::StatusCode::kPermissionDenied,
                                      absl::StatusCode::kResourceExhausted}) {
    refused_[code] =
        metrics == nullptr
            ? nullptr
            : &metrics->GetCounter("demorl_rpc_refused_total", "Calls over TLS refused before their handler",
                                   {{"grpc_code", absl::StatusCodeToString(code)}});
  }
}

absl::Status CallGate::Check(const InputMetadata& metadata, const grpc::AuthContext& connection) {
  ASSIGN_OR_RETURN(const Peer peer, access_->Identify(connection, Find(metadata, "authorization")));
  RETURN_IF_ERROR(CheckMayCall(peer, Find(metadata, ":path").value_or("")));
  return rates_.Take(peer.Describe());
}

grpc::Status CallGate::Process(const InputMetadata& metadata, grpc::AuthContext* connection, OutputMetadata*,
                               OutputMetadata*) {
  const absl::Status status = Check(metadata, *connection);
  if (!status.ok()) {
    if (const auto counter = refused_.find(status.code()); counter != refused_.end() && counter->second) {
      counter->second->Increment();
    }
    if (const std::optional<int> left_out = log_throttle_.Admit(); left_out.has_value()) {
      spdlog::warn("a call was refused: {}{}", status.ToString(), LogThrottle::Text(*left_out));
    }
  }
  return ToGrpcStatus(status);
}

}  // namespace demorl
