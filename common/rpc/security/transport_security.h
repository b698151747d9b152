#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/metrics/metrics.h"
#include "common/rpc/security/access_control.h"
#include "common/rpc/security/call_gate.h"
#include "common/rpc/security/own_certificate.h"
#include "common/rpc/security/refused_handshake.h"
#include "demorl/config/v1/security.pb.h"
#include "grpcpp/security/credentials.h"
#include "grpcpp/security/server_credentials.h"
#include "grpcpp/security/tls_certificate_provider.h"
#include "grpcpp/support/client_interceptor.h"

namespace demorl {

// What a server is built with.
struct ServerSecurity {
  std::shared_ptr<grpc::ServerCredentials> credentials;
  // What its calls must pass (gated_service.h); null for any.
  std::shared_ptr<CallGate> gate;
};

// How one process proves who it is and whom it believes, made once from SecurityConfig: mutual TLS 1.3 where
// there is a tls_dir, else plain text. Certificates, lists and tokens are read again when they change;
// connections that exist go on. What it gives credentials to may outlive it. Thread-safe.
class TransportSecurity {
 public:
  // INVALID_ARGUMENT, NOT_FOUND or FAILED_PRECONDITION naming the file that is missing, malformed or does not
  // fit.
  static absl::StatusOr<std::unique_ptr<TransportSecurity>> Create(
      const demorl::config::v1::SecurityConfig& security);

  std::shared_ptr<grpc::ChannelCredentials> channel_credentials() const { return channel_credentials_; }

  // For a server that listens on `address`. FAILED_PRECONDITION for plain text beyond loopback that the
  // configuration does not allow, and without a certificate of our own. Borrows `metrics`, which may be null.
  absl::StatusOr<ServerSecurity> ForServer(const std::string& address, double max_calls_per_second,
                                           Metrics* metrics);

  // Null for plain text: anybody may do everything.
  std::shared_ptr<AccessControl> access() const { return access_; }

  // For channels with our credentials; null for plain text.
  std::unique_ptr<grpc::experimental::ClientInterceptorFactoryInterface> MakeInterceptor() const;

  // Null without one.
  std::shared_ptr<OwnCertificate> certificate() const { return certificate_; }

 private:
  explicit TransportSecurity(const demorl::config::v1::SecurityConfig& security) : security_(security) {}

  absl::Status LoadTls();
  absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> TlsServerCredentials() const;

  const demorl::config::v1::SecurityConfig security_;
  // All null for plain text.
  std::shared_ptr<AccessControl> access_;
  // Null also for a client that shows a token instead.
  std::shared_ptr<OwnCertificate> certificate_;
  const std::shared_ptr<ClientHandshakes> handshakes_ = std::make_shared<ClientHandshakes>();
  std::shared_ptr<grpc::experimental::CertificateProviderInterface> provider_;
  std::shared_ptr<grpc::ChannelCredentials> channel_credentials_;
};

// The section as one service reads it: "${SERVICE}" in its paths is the service's name, so that services of
// one machine share a configuration and not their certificates.
demorl::config::v1::SecurityConfig SecurityOfService(const demorl::config::v1::SecurityConfig& security,
                                                     const std::string& service);

}  // namespace demorl
