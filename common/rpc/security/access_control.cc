#include "common/rpc/security/access_control.h"

#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "common/base/status_macros.h"
#include "grpc/grpc_security_constants.h"

namespace demorl {
namespace {

using ::demorl::config::v1::SecurityConfig;

// Certificates remembered; more are forgotten together.
constexpr size_t kMaxKnownPeers = 4096;
constexpr absl::string_view kBearer = "Bearer ";

absl::string_view ToView(grpc::string_ref text) { return {text.data(), text.size()}; }

std::optional<absl::string_view> Authorization(const grpc::ServerContextBase& call) {
  const auto found = call.client_metadata().find("authorization");
  if (found == call.client_metadata().end()) {
    return std::nullopt;
  }
  return ToView(found->second);
}

}  // namespace

absl::StatusOr<std::unique_ptr<AccessControl>> AccessControl::Create(const SecurityConfig& security) {
  std::unique_ptr<AccessControl> access(new AccessControl(security));
  if (security.has_crl_dir()) {
    ASSIGN_OR_RETURN(access->revocations_, RevocationLists::Open(security.crl_dir()));
  }
  if (security.has_accepted_tokens_file()) {
    ASSIGN_OR_RETURN(access->tokens_, AcceptedTokens::Open(security.accepted_tokens_file()));
  }
  return access;
}

absl::Status AccessControl::CheckNotRevoked(absl::string_view certificate_pem) {
  return revocations_ == nullptr ? absl::OkStatus() : revocations_->Check(certificate_pem);
}

absl::StatusOr<Peer> AccessControl::Identify(const grpc::AuthContext& connection,
                                             std::optional<absl::string_view> authorization) {
  const std::vector<grpc::string_ref> pem = connection.FindPropertyValues(GRPC_X509_PEM_CERT_PROPERTY_NAME);
  return pem.empty() ? PeerOfToken(authorization) : PeerOfCertificate(ToView(pem.front()));
}

absl::StatusOr<Peer> AccessControl::PeerOfCall(const grpc::ServerContextBase& call) {
  return Identify(*call.auth_context(), Authorization(call));
}

absl::StatusOr<Peer> AccessControl::PeerOfCertificate(absl::string_view pem) {
  const int64_t generation = revocations_ == nullptr ? 0 : revocations_->generation();
  absl::MutexLock lock(&mutex_);
  if (generation != peers_generation_ || peers_.size() >= kMaxKnownPeers) {
    peers_generation_ = generation;
    peers_.clear();
  }
  const auto found = peers_.find(pem);
  return found != peers_.end() ? found->second
                               : peers_.emplace(std::string(pem), ReadPeer(pem)).first->second;
}

absl::StatusOr<Peer> AccessControl::ReadPeer(absl::string_view pem) {
  ASSIGN_OR_RETURN(const Certificate certificate, ReadCertificate(pem));
  RETURN_IF_ERROR(CheckNotRevoked(pem));
  return RoleOf(certificate);
}

absl::StatusOr<Peer> AccessControl::RoleOf(const Certificate& certificate) const {
  const std::string prefix = absl::StrCat("spiffe://", security_.trust_domain(), "/");
  if (certificate.uris.size() != 1 || !absl::StartsWith(certificate.uris.front(), prefix)) {
    return absl::UnauthenticatedError(absl::StrCat(
        "the ", certificate.Describe(), " names no role: want one URI ", prefix,
        "<role>[/<name>] among its alternative names, found ",
        certificate.uris.empty() ? "none" : absl::CEscape(absl::StrJoin(certificate.uris, ", "))));
  }
  absl::StatusOr<Peer> peer = ParsePeer(absl::StripPrefix(certificate.uris.front(), prefix));
  if (!peer.ok()) {
    return absl::UnauthenticatedError(
        absl::StrCat("the ", certificate.Describe(), ": ", peer.status().message()));
  }
  return peer;
}

absl::StatusOr<Peer> AccessControl::PeerOfToken(std::optional<absl::string_view> authorization) {
  if (tokens_ == nullptr) {
    return absl::UnauthenticatedError("the client shows no certificate, and this server takes no tokens");
  }
  if (!authorization.has_value()) {
    return absl::UnauthenticatedError("the client shows neither a certificate nor a bearer token");
  }
  if (!absl::StartsWithIgnoreCase(*authorization, kBearer)) {
    return absl::UnauthenticatedError("the authorization is not of the form \"Bearer <token>\"");
  }
  return tokens_->Find(authorization->substr(kBearer.size()));
}

absl::Status ObjectAccess::Check(absl::string_view object) const {
  if (!peer_.has_value()) {
    return absl::OkStatus();
  }
  RETURN_IF_ERROR(peer_->status());
  return CheckMayUse(**peer_, method_, object);
}

bool IsWithinProcess(const grpc::ServerContextBase& call) {
  const std::shared_ptr<const grpc::AuthContext> connection = call.auth_context();
  return connection == nullptr ||
         connection->FindPropertyValues(GRPC_TRANSPORT_SECURITY_TYPE_PROPERTY_NAME).empty();
}

absl::Status CheckKnown(AccessControl* access, const grpc::ServerContextBase& call,
                        std::optional<absl::string_view> authorization) {
  if (access == nullptr || IsWithinProcess(call)) {
    return absl::OkStatus();
  }
  return access->Identify(*call.auth_context(), authorization).status();
}

ObjectAccess AccessOfCall(AccessControl* access, const grpc::ServerContextBase& call,
                          absl::string_view method) {
  if (access == nullptr || IsWithinProcess(call)) {
    return ObjectAccess();
  }
  return ObjectAccess(access->PeerOfCall(call), method);
}

}  // namespace demorl
