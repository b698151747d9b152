#pragma once

#include <memory>

#include "absl/status/status.h"
#include "common/metrics/metrics.h"
#include "common/rpc/security/access_control.h"
#include "common/rpc/security/call_rates.h"
#include "common/rpc/security/refused_calls.h"
#include "grpcpp/security/auth_metadata_processor.h"

namespace demorl {

// What every call over TLS passes before its handler: who calls, whether that role may, and not too often.
// Thread-safe.
class CallGate final : public grpc::AuthMetadataProcessor {
 public:
  // `max_calls_per_second` of one client; 0 for any number. Borrows `metrics`, which may be null.
  CallGate(std::shared_ptr<AccessControl> access, double max_calls_per_second, Metrics* metrics);

  bool IsBlocking() const override { return false; }
  grpc::Status Process(const InputMetadata& metadata, grpc::AuthContext* connection, OutputMetadata* consumed,
                       OutputMetadata* response) override;

 private:
  absl::Status Check(const InputMetadata& metadata, const grpc::AuthContext& connection);

  const std::shared_ptr<AccessControl> access_;
  CallRates rates_;
  RefusedCalls refused_;
};

}  // namespace demorl
