#pragma once

#include <filesystem>
#include <string>

#include "absl/status/status.h"

namespace demorl {

struct TlsFiles {
  std::string certificate, key, authorities;
};

// Puts tls.crt, tls.key and ca.crt into a folder, in one step: the three are links through a link "..data" to
// the folder that holds them, as in a Kubernetes volume, and that link is replaced. The key is its owner's
// alone, and from root's hands the owner is that of the folder. FAILED_PRECONDITION if one of the names is
// taken by something else.
absl::Status ReplaceTlsFiles(const std::filesystem::path& folder, const TlsFiles& files);

}  // namespace demorl
