#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "absl/time/time.h"
#include "common/rpc/security/own_certificate.h"
#include "grpcpp/support/client_interceptor.h"

namespace demorl {

// The handshakes in which this process, as a client, has found a server to be whom it dialled. Thread-safe.
class ClientHandshakes {
 public:
  void Count();
  int64_t count() const { return count_.load(); }
  // Since the last one; infinite before the first.
  absl::Duration Age() const;

 private:
  std::atomic<int64_t> count_{0};
  std::atomic<int64_t> last_ns_{0};
};

// Adds to the status of calls that find the server closing each new connection right after our side of the
// handshake that it may have refused our certificate, and which that is. In TLS 1.3 a client's handshake is
// over before the server has judged its certificate, and gRPC 1.51 then closes without an alert: the client
// sees a closed socket, or nothing at all where its call waits for a connection. `own` is null for a client
// that shows a token.
std::unique_ptr<grpc::experimental::ClientInterceptorFactoryInterface> MakeRefusedHandshakeInterceptor(
    std::shared_ptr<OwnCertificate> own, std::shared_ptr<const ClientHandshakes> handshakes);

}  // namespace demorl
