#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "common/rpc/security/openssl_handles.h"

namespace demorl::testing {

// A certificate authority made for one test.
class TestAuthority {
 public:
  struct Request {
    std::string common_name = "peer";
    // As openssl writes them: "URI:spiffe://demorl.local/actor/a", "DNS:localhost", "IP:127.0.0.1".
    std::vector<std::string> alternative_names;
    // From now.
    absl::Duration begin = -absl::Hours(1), end = absl::Hours(1);
    bool is_authority = false;
  };
  struct Issued {
    std::string certificate, key;
  };

  explicit TestAuthority(const std::string& name);
  // One whose certificate is that of IssueAuthority of another.
  explicit TestAuthority(const Issued& issued);

  Issued Issue(const Request& request);
  // Of this role, for servers on this machine too.
  Issued IssueRole(const std::string& role);

  Issued IssueAuthority(const std::string& name);

  const std::string& certificate() const { return certificate_; }

  // A list that names these.
  std::string RevocationList(const std::vector<Issued>& revoked);

 private:
  openssl::Key key_;
  openssl::CertificatePtr x509_;
  std::string certificate_;
  long next_serial_ = 1000;
};

// Swaps tls.crt, tls.key and ca.crt of a folder together, as Kubernetes does: through a symbolic link to the
// folder that holds them. Empty ones are left out.
void WriteTlsDir(const std::filesystem::path& folder, const TestAuthority::Issued& issued,
                 const std::string& authorities);

}  // namespace demorl::testing
