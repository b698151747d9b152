#include "common/rpc/security/call_gate.h"

#include <string>
#include <utility>

#include "common/base/status_macros.h"
#include "common/rpc/grpc_status.h"

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
    : access_(std::move(access)), rates_(max_calls_per_second, RealClock::Get()), refused_(metrics) {}

absl::Status CallGate::Check(const InputMetadata& metadata, const grpc::AuthContext& connection) {
  ASSIGN_OR_RETURN(const Peer peer, access_->Identify(connection, Find(metadata, "authorization")));
  RETURN_IF_ERROR(CheckMayCall(peer, Find(metadata, ":path").value_or("")));
  return rates_.Take(peer.Describe());
}

grpc::Status CallGate::Process(const InputMetadata& metadata, grpc::AuthContext* connection, OutputMetadata*,
                               OutputMetadata*) {
  const absl::Status status = Check(metadata, *connection);
  refused_.Note(status);
  return ToGrpcStatus(status);
}

}  // namespace demorl
