#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "absl/time/time.h"

namespace demorl {

// What a tls_dir should hold, and by whom.
struct CertificateNeed {
  std::filesystem::path tls_dir;
  // All alternative names, as openssl writes them: "URI:spiffe://...", "DNS:replay", "IP:127.0.0.1".
  std::vector<std::string> names;
  // PEM, as it should stand in ca.crt.
  std::string authorities;
  // Revocation lists.
  std::filesystem::path crl_dir;
};

// Why the folder wants another certificate: it has none, or one that cannot be read, has other names, is of
// another authority, was revoked, or has less than a third of its time left. Empty if what it has will do.
std::string WhyDue(const CertificateNeed& need, absl::Time now);

}  // namespace demorl
