#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "grpcpp/generic/async_generic_service.h"
#include "grpcpp/server.h"

namespace demorl {

// Answers under the three names of a service's health; see ServerRunner.
void SetHealth(grpc::Server& server, bool live, bool ready);

// A plain-text gRPC port with health and nothing else, for probes that know no TLS (a kubelet's).
// Thread-safe.
class HealthServer {
 public:
  // UNAVAILABLE naming the address if it cannot be bound.
  static absl::StatusOr<std::unique_ptr<HealthServer>> Start(const std::string& address);
  ~HealthServer();

  int port() const { return port_; }
  void Set(bool live, bool ready);

 private:
  HealthServer() = default;

  grpc::CallbackGenericService anything_else_;
  std::unique_ptr<grpc::Server> server_;
  int port_ = 0;
};

}  // namespace demorl
