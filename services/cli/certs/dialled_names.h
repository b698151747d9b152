#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace demorl {

// By what a server's certificate must know it.
struct DialledNames {
  std::vector<std::string> dns_names, addresses;
};

// Of IPv4 or, without brackets, IPv6.
bool IsAddress(const std::string& host);

// Names that clients of an address of a configuration check: "host:port", or a target of gRPC's
// ("dns:///replay:50051", "ipv4:10.0.0.1:50051,10.0.0.2:50051"). One of this machine stands for all of its
// names. INVALID_ARGUMENT for what is no address.
absl::StatusOr<DialledNames> NamesDialledAt(absl::string_view address);

}  // namespace demorl
