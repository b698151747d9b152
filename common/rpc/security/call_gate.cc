#include "common/rpc/security/call_gate.h"

#include <optional>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "common/base/clock.h"
#include "common/base/status_macros.h"

namespace demorl {

CallGate::CallGate(std::shared_ptr<AccessControl> access, double max_calls_per_second, Metrics* metrics)
    : access_(std::move(access)), rates_(max_calls_per_second, RealClock::Get()), refused_(metrics) {}

absl::Status CallGate::Check(const grpc::ServerContextBase& call, absl::string_view method) {
  if (IsWithinProcess(call)) {
    return absl::OkStatus();
  }
  if (access_ == nullptr) {
    return rates_.Take(AddressOfPeer(call.peer()));
  }
  ASSIGN_OR_RETURN(const Peer peer, access_->PeerOfCall(call));
  RETURN_IF_ERROR(CheckMayCall(peer, method));
  return rates_.Take(peer.Describe());
}

absl::Status CallGate::Admit(const grpc::ServerContextBase& call, absl::string_view method) {
  const absl::Status status = Check(call, method);
  refused_.Note(status);
  return status;
}

std::string AddressOfPeer(const std::string& peer) {
  absl::string_view address = peer;
  if (!absl::ConsumePrefix(&address, "ipv4:") && !absl::ConsumePrefix(&address, "ipv6:")) {
    return peer;
  }
  return absl::StrReplaceAll(address.substr(0, address.rfind(':')),
                             {{"[", ""}, {"]", ""}, {"%5B", ""}, {"%5D", ""}});
}

}  // namespace demorl
