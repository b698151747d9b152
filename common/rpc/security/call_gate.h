#pragma once

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "common/metrics/metrics.h"
#include "common/rpc/security/access_control.h"
#include "common/rpc/security/call_rates.h"
#include "common/rpc/security/refused_calls.h"
#include "grpcpp/server_context.h"

namespace demorl {

// What every call of a server passes before its handler: who calls, whether that role may, and not too often.
// Calls within the process pass. Thread-safe.
class CallGate {
 public:
  // `access` is null for plain text, where a client is an address. `max_calls_per_second` of one client; 0
  // for any number. Borrows `metrics`, which may be null.
  CallGate(std::shared_ptr<AccessControl> access, double max_calls_per_second, Metrics* metrics);

  // UNAUTHENTICATED, PERMISSION_DENIED or RESOURCE_EXHAUSTED with the reason, which is counted and logged.
  // `method` is as in CheckMayCall.
  absl::Status Admit(const grpc::ServerContextBase& call, absl::string_view method);

 private:
  absl::Status Check(const grpc::ServerContextBase& call, absl::string_view method);

  const std::shared_ptr<AccessControl> access_;
  CallRates rates_;
  RefusedCalls refused_;
};

// "10.0.0.7" of gRPC's "ipv4:10.0.0.7:51034", "::1" of "ipv6:[::1]:51034" with its brackets as they are or
// escaped; others as they are.
std::string AddressOfPeer(const std::string& peer);

}  // namespace demorl
