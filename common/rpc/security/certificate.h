#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace demorl {

// What we read of an X.509 certificate.
struct Certificate {
  // "CN=actor-0,O=demorl".
  std::string subject;
  // Hexadecimal, as openssl prints it.
  std::string serial;
  // The authority's subject.
  std::string issuer;
  absl::Time not_before, not_after;
  // Names of type URI.
  std::vector<std::string> uris;

  // For messages: subject and serial.
  std::string Describe() const;
};

// The first certificate of a PEM text. INVALID_ARGUMENT if there is none.
absl::StatusOr<Certificate> ReadCertificate(absl::string_view pem);

// FAILED_PRECONDITION unless the key belongs to the first certificate of `chain`; INVALID_ARGUMENT if either
// cannot be read.
absl::Status CheckKeyFits(absl::string_view chain, absl::string_view key);

// FAILED_PRECONDITION unless the first certificate of `chain`, with the help of the others, leads to one of
// `authorities` (PEM). Dates do not count here.
absl::Status CheckIssuedBy(absl::string_view chain, absl::string_view authorities);

// SHA-256 in lower-case hexadecimal.
std::string Sha256Hex(absl::string_view bytes);

}  // namespace demorl
