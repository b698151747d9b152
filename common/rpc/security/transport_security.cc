#include "common/rpc/security/transport_security.h"

#include <filesystem>
#include <functional>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "common/base/file_io.h"
#include "common/base/status_macros.h"
#include "common/rpc/security/certificate.h"
#include "common/rpc/security/tls_version.h"
#include "common/rpc/security/token_credentials.h"
#include "grpcpp/security/tls_certificate_verifier.h"
#include "grpcpp/security/tls_credentials_options.h"
#include "spdlog/spdlog.h"

namespace demorl {
namespace {

namespace fs = std::filesystem;
namespace tls = ::grpc::experimental;
using ::demorl::config::v1::SecurityConfig;

// How often gRPC looks for new certificates.
constexpr unsigned int kRefreshSeconds = 1;

absl::Status InFile(const fs::path& file, const absl::Status& status) {
  return status.ok() ? status
                     : absl::Status(status.code(), absl::StrCat(file.string(), ": ", status.message()));
}

// What a client asks of a server's certificate beyond its chain: the name that was dialled, and not revoked.
class ServerVerifier final : public tls::ExternalCertificateVerifier {
 public:
  ServerVerifier(std::shared_ptr<AccessControl> access, std::shared_ptr<ClientHandshakes> handshakes)
      : access_(std::move(access)), handshakes_(std::move(handshakes)) {}

  bool Verify(tls::TlsCustomVerificationCheckRequest* request, std::function<void(grpc::Status)> callback,
              grpc::Status* status) override {
    const bool is_done = host_name_.Verify(request, std::move(callback), status);
    if (is_done && status->ok()) {
      const grpc::string_ref pem = request->peer_cert();
      const absl::Status revoked = access_->CheckNotRevoked({pem.data(), pem.size()});
      if (!revoked.ok()) {
        *status = grpc::Status(grpc::StatusCode::UNAUTHENTICATED, std::string(revoked.message()));
      } else {
        handshakes_->Count();
      }
    }
    return is_done;
  }
  void Cancel(tls::TlsCustomVerificationCheckRequest*) override {}

 private:
  const std::shared_ptr<AccessControl> access_;
  const std::shared_ptr<ClientHandshakes> handshakes_;
  tls::HostNameCertificateVerifier host_name_;
};

bool IsLoopback(const std::string& address) {
  if (absl::StartsWith(address, "unix:")) {
    return true;
  }
  const std::string host = address.substr(0, address.rfind(':'));
  return host == "localhost" || host == "[::1]" || absl::StartsWith(host, "127.");
}

absl::Status CheckPlainTextFields(const SecurityConfig& security) {
  for (const auto& [is_set, field] :
       {std::pair(security.has_crl_dir(), "crl_dir"), std::pair(security.has_token_file(), "token_file"),
        std::pair(security.has_accepted_tokens_file(), "accepted_tokens_file")}) {
    if (is_set) {
      return absl::InvalidArgumentError(
          absl::StrCat("security.", field, " is set without security.tls_dir; it is of use over TLS alone"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<TransportSecurity>> TransportSecurity::Create(const SecurityConfig& security) {
  std::unique_ptr<TransportSecurity> created(new TransportSecurity(security));
  if (!security.has_tls_dir() || security.tls_dir().empty()) {
    RETURN_IF_ERROR(CheckPlainTextFields(security));
    created->channel_credentials_ = grpc::InsecureChannelCredentials();
    return created;
  }
  RETURN_IF_ERROR(created->LoadTls());
  return created;
}

absl::Status TransportSecurity::LoadTls() {
  const fs::path folder = security_.tls_dir();
  ASSIGN_OR_RETURN(const std::string authorities, ReadFile(folder / "ca.crt"));
  RETURN_IF_ERROR(InFile(folder / "ca.crt", ReadCertificate(authorities).status()));
  ASSIGN_OR_RETURN(access_, AccessControl::Create(security_));
  const bool has_identity = fs::exists(folder / "tls.crt") || fs::exists(folder / "tls.key");
  if (has_identity) {
    // Before gRPC reads the same files, and would only say that a handshake failed.
    ASSIGN_OR_RETURN(certificate_, OwnCertificate::Open(folder, access_));
  } else if (!security_.has_token_file()) {
    return absl::FailedPreconditionError(
        absl::StrCat(folder.string(),
                     " holds no tls.crt and tls.key, and security.token_file is not set; want one of both"));
  }
  RequireTls13();
  provider_ = has_identity ? std::make_shared<tls::FileWatcherCertificateProvider>(
                                 (folder / "tls.key").string(), (folder / "tls.crt").string(),
                                 (folder / "ca.crt").string(), kRefreshSeconds)
                           : std::make_shared<tls::FileWatcherCertificateProvider>(
                                 (folder / "ca.crt").string(), kRefreshSeconds);
  tls::TlsChannelCredentialsOptions options;
  options.set_certificate_provider(provider_);
  options.watch_root_certs();
  if (has_identity) {
    options.watch_identity_key_cert_pairs();
  }
  options.set_certificate_verifier(
      tls::ExternalCertificateVerifier::Create<ServerVerifier>(access_, handshakes_));
  channel_credentials_ = tls::TlsCredentials(options);
  if (security_.has_token_file()) {
    ASSIGN_OR_RETURN(const std::shared_ptr<grpc::CallCredentials> token,
                     MakeTokenCredentials(security_.token_file()));
    channel_credentials_ = grpc::CompositeChannelCredentials(channel_credentials_, token);
  }
  return absl::OkStatus();
}

std::unique_ptr<grpc::experimental::ClientInterceptorFactoryInterface> TransportSecurity::MakeInterceptor()
    const {
  return access_ == nullptr ? nullptr : MakeRefusedHandshakeInterceptor(certificate_, handshakes_);
}

absl::StatusOr<ServerSecurity> TransportSecurity::ForServer(const std::string& address,
                                                            double max_calls_per_second, Metrics* metrics) {
  ServerSecurity server;
  if (access_ != nullptr) {
    ASSIGN_OR_RETURN(server.credentials, TlsServerCredentials());
    server.gate = std::make_shared<CallGate>(access_, max_calls_per_second, metrics);
    return server;
  }
  server.credentials = grpc::InsecureServerCredentials();
  if (IsLoopback(address)) {
    // All services of a machine have one address there.
    return server;
  }
  if (!security_.allow_plain_text()) {
    return absl::FailedPreconditionError(
        absl::StrCat("cannot listen on ", address,
                     " in plain text: anybody who reaches the port could do everything. Set ",
                     "security.tls_dir, listen on loopback (127.0.0.1, localhost, [::1], unix:), or set ",
                     "security.allow_plain_text"));
  }
  spdlog::warn(
      "PLAIN TEXT on {}: anybody who reaches this port may do everything (security.allow_plain_text)",
      address);
  server.gate = std::make_shared<CallGate>(nullptr, max_calls_per_second, metrics);
  return server;
}

absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> TransportSecurity::TlsServerCredentials() const {
  if (certificate_ == nullptr) {
    return absl::FailedPreconditionError(
        absl::StrCat(security_.tls_dir(), " holds no tls.crt and tls.key; a server must have both"));
  }
  tls::TlsServerCredentialsOptions options(provider_);
  options.watch_root_certs();
  options.watch_identity_key_cert_pairs();
  options.set_cert_request_type(access_->takes_tokens()
                                    ? GRPC_SSL_REQUEST_CLIENT_CERTIFICATE_AND_VERIFY
                                    : GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  // Makes gRPC log why a client's certificate was refused. We read revocation lists ourselves: theirs are
  // never read again, and only end handshakes.
  options.set_crl_directory(security_.tls_dir());
  return tls::TlsServerCredentials(options);
}

SecurityConfig SecurityOfService(const SecurityConfig& security, const std::string& service) {
  const auto resolve = [&](const std::string& path) {
    return absl::StrReplaceAll(path, {{"${SERVICE}", service}});
  };
  SecurityConfig resolved = security;
  if (security.has_tls_dir()) {
    resolved.set_tls_dir(resolve(security.tls_dir()));
  }
  if (security.has_token_file()) {
    resolved.set_token_file(resolve(security.token_file()));
  }
  return resolved;
}

}  // namespace demorl
