#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace demorl {

// What to put into a certificate.
struct CertificateRequest {
  // "<role>[/<name>]"; see roles.h.
  std::string peer;
  // Names and addresses at which others dial it; a client needs none.
  std::vector<std::string> dns_names, addresses;
  int days = 365;
  // Receives tls.crt, tls.key and ca.crt; the authority's folder / "<role>[-<name>]" when empty.
  std::filesystem::path out;
};

// A certificate authority in a folder, for those without one of their own; the openssl program does the work:
//   ca.crt, ca.key        the authority; keep the key away from the machines that the certificates are for
//   crl/authority.crl     what was revoked: the crl_dir of `security`
//   <role>[-<name>]/      a tls_dir of `security` each
//   index.txt, issued/    what openssl remembers, and every certificate by its serial number
// Thread-compatible; several processes take turns.
class AuthorityFolder {
 public:
  // Makes one. ALREADY_EXISTS if the folder holds an authority, INVALID_ARGUMENT for a bad trust domain.
  static absl::StatusOr<AuthorityFolder> Init(const std::filesystem::path& folder,
                                              const std::string& trust_domain, int days);
  // Writes the revocation list again if it is gone. NOT_FOUND if the folder holds no authority.
  static absl::StatusOr<AuthorityFolder> Open(const std::filesystem::path& folder);

  const std::string& trust_domain() const { return trust_domain_; }

  // Issues a certificate with a key of its own and swaps it in for the one before, so that a running service
  // reads all or nothing. The folder. INVALID_ARGUMENT for what cannot stand in a certificate.
  absl::StatusOr<std::filesystem::path> Issue(const CertificateRequest& request);

  // The same, unless the folder's certificate will do for a while: see WhyDue. Why it was issued; empty if it
  // was not.
  absl::StatusOr<std::string> IssueIfDue(const CertificateRequest& request);

  // Revokes every certificate of a peer that has not expired, and writes the list. How many. NOT_FOUND if
  // there is none left to revoke.
  absl::StatusOr<int> Revoke(const std::string& peer);

 private:
  AuthorityFolder(std::filesystem::path folder, std::string trust_domain)
      : folder_(std::move(folder)), trust_domain_(std::move(trust_domain)) {}

  std::filesystem::path OutOf(const CertificateRequest& request) const;
  absl::Status WriteRevocationList() const;

  std::filesystem::path folder_;
  std::string trust_domain_;
};

}  // namespace demorl
