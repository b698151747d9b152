#pragma once

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/metrics/metrics.h"
#include "common/rpc/security/transport_security.h"
#include "common/rpc/service_component.h"
#include "common/rpc/shutdown_signals.h"
#include "demorl/config/v1/security.pb.h"
#include "grpcpp/channel.h"

namespace demorl {

struct ServerOptions {
  // gRPC "host:port", port 0 for any free one; no listening socket when empty (in-process only).
  std::string address;
  // Plain-text "host:port" with health alone; none when empty.
  std::string health_address;
  std::string run_id;
  absl::Duration drain_timeout = absl::Seconds(10);
  // Connections are told to go after about this long (zero for never): new calls take new ones. Streams,
  // which would hold their connection, end with UNAVAILABLE when they have lasted `connection_grace` longer.
  absl::Duration max_connection_age = absl::ZeroDuration();
  absl::Duration connection_grace = absl::Seconds(2);
  // Counts calls; none when null. Outlives the runner.
  Metrics* metrics = nullptr;
  // Plain text when null. Outlives the runner, which watches its certificate.
  TransportSecurity* security = nullptr;
  demorl::config::v1::ServerLimits limits;
};

// Serves one component with health, reflection and the control service. Health has three names: "liveness" is
// SERVING unless the component is unhealthy (a restart is the remedy), "readiness" and "" while it is running
// or paused. Thread-safe. Destroying it shuts down.
class ServerRunner {
 public:
  // UNAVAILABLE naming the address if it cannot be bound; the component's own status if it does not start.
  // Borrows the component.
  static absl::StatusOr<std::unique_ptr<ServerRunner>> Start(const ServerOptions& options,
                                                             ServiceComponent* component);
  virtual ~ServerRunner() = default;

  // The port that was bound; 0 without a socket.
  virtual int port() const = 0;

  // The port of health_address; 0 without one.
  virtual int health_port() const = 0;

  // A channel that never leaves the process. Valid while the runner lives.
  virtual std::shared_ptr<grpc::Channel> InProcessChannel() = 0;

  // Readiness off, component drained, server shut down, in that order. Idempotent; blocks at most
  // drain_timeout plus a second. The component's drain status.
  virtual absl::Status Shutdown() = 0;

  // Blocks until SIGTERM, SIGINT (see BlockShutdownSignals) or a Drain call, then shuts down. A second signal
  // ends the process at once. Returns main's exit status.
  virtual int WaitForShutdown() = 0;
};

}  // namespace demorl
