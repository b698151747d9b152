#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "common/rpc/security/accepted_tokens.h"
#include "common/rpc/security/certificate.h"
#include "common/rpc/security/revocation_lists.h"
#include "common/rpc/security/roles.h"
#include "demorl/config/v1/security.pb.h"
#include "grpcpp/security/auth_context.h"
#include "grpcpp/server_context.h"

namespace demorl {

// Upon which objects one call may act, where the grants of its method name some (roles.h). For handlers. A
// value.
class ObjectAccess {
 public:
  // Upon everything.
  ObjectAccess() = default;
  ObjectAccess(absl::StatusOr<Peer> peer, absl::string_view method)
      : peer_(std::move(peer)), method_(method) {}

  // PERMISSION_DENIED saying who asked for what and who may.
  absl::Status Check(absl::string_view object) const;

 private:
  std::optional<absl::StatusOr<Peer>> peer_;
  std::string method_;
};

// Who a server's peers are, and what they may. Thread-safe.
class AccessControl {
 public:
  // Errors of RevocationLists::Open and AcceptedTokens::Open.
  static absl::StatusOr<std::unique_ptr<AccessControl>> Create(
      const demorl::config::v1::SecurityConfig& security);

  // By the certificate of the connection, or else by a bearer token ("authorization" of the call). The
  // handshake has verified the certificate's chain and dates; here it must not be revoked, and must name a
  // role. UNAUTHENTICATED with the reason.
  absl::StatusOr<Peer> Identify(const grpc::AuthContext& connection,
                                std::optional<absl::string_view> authorization);

  // The same for a call that has come over a connection.
  absl::StatusOr<Peer> PeerOfCall(const grpc::ServerContextBase& call);

  bool takes_tokens() const { return tokens_ != nullptr; }

  // What the names of a certificate say: one role. UNAUTHENTICATED with what was found.
  absl::StatusOr<Peer> RoleOf(const Certificate& certificate) const;

  // UNAUTHENTICATED if its authority has revoked the certificate.
  absl::Status CheckNotRevoked(absl::string_view certificate_pem);

 private:
  explicit AccessControl(const demorl::config::v1::SecurityConfig& security) : security_(security) {}

  absl::StatusOr<Peer> PeerOfCertificate(absl::string_view pem);
  absl::StatusOr<Peer> ReadPeer(absl::string_view pem);
  absl::StatusOr<Peer> PeerOfToken(std::optional<absl::string_view> authorization);

  const demorl::config::v1::SecurityConfig security_;
  // Null where the configuration names none.
  std::unique_ptr<RevocationLists> revocations_;
  std::unique_ptr<AcceptedTokens> tokens_;
  // Of certificates seen under one state of the revocation lists.
  absl::Mutex mutex_;
  int64_t peers_generation_ ABSL_GUARDED_BY(mutex_) = 0;
  std::map<std::string, absl::StatusOr<Peer>, std::less<>> peers_ ABSL_GUARDED_BY(mutex_);
};

// Of a call that came over no connection.
bool IsWithinProcess(const grpc::ServerContextBase& call);

// OK if the peer of a call could begin it now, and always where `access` is null and for calls within the
// process. UNAUTHENTICATED with the reason.
absl::Status CheckKnown(AccessControl* access, const grpc::ServerContextBase& call,
                        std::optional<absl::string_view> authorization);

// Of a call that a server has taken in; everything where `access` is null, and for calls within the process.
ObjectAccess AccessOfCall(AccessControl* access, const grpc::ServerContextBase& call,
                          absl::string_view method);

}  // namespace demorl
