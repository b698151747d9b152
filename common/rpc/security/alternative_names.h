#pragma once

#include <set>
#include <string>

#include "absl/strings/string_view.h"

namespace demorl {

// The alternative names of the first certificate of a PEM text as openssl takes them: "URI:spiffe://...",
// "DNS:replay", "IP:::1". Empty if there is none.
std::set<std::string> AlternativeNamesOf(absl::string_view pem);

// A name as AlternativeNamesOf gives it, for any way to write an address.
std::string WrittenAsUsual(absl::string_view name);

}  // namespace demorl
