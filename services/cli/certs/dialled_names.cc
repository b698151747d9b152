#include "services/cli/certs/dialled_names.h"

#include <arpa/inet.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace demorl {
namespace {

bool IsThisMachine(const std::string& host) {
  return host == "localhost" || host == "::1" || absl::StartsWith(host, "127.");
}

// Without the port and the brackets of IPv6; empty if there is no port.
absl::string_view HostOf(absl::string_view text) {
  const size_t colon = text.rfind(':');
  absl::string_view host = colon == absl::string_view::npos ? "" : text.substr(0, colon);
  if (absl::ConsumePrefix(&host, "[")) {
    return absl::ConsumeSuffix(&host, "]") ? host : "";
  }
  return absl::StrContains(host, ':') ? "" : host;
}

// The part of a target that names hosts: "//authority/" is whom to ask for them.
absl::string_view WithoutScheme(absl::string_view address) {
  if (absl::ConsumePrefix(&address, "ipv4:") || absl::ConsumePrefix(&address, "ipv6:")) {
    return address;
  }
  if (absl::ConsumePrefix(&address, "dns:") && absl::ConsumePrefix(&address, "//")) {
    const size_t slash = address.find('/');
    return slash == absl::string_view::npos ? "" : address.substr(slash + 1);
  }
  return address;
}

}  // namespace

bool IsAddress(const std::string& host) {
  in6_addr ignored;
  return inet_pton(AF_INET, host.c_str(), &ignored) == 1 || inet_pton(AF_INET6, host.c_str(), &ignored) == 1;
}

absl::StatusOr<DialledNames> NamesDialledAt(absl::string_view address) {
  const DialledNames this_machine = {.dns_names = {"localhost"}, .addresses = {"127.0.0.1", "::1"}};
  if (absl::StartsWith(address, "unix:")) {
    return this_machine;
  }
  DialledNames names;
  for (const absl::string_view one : absl::StrSplit(WithoutScheme(address), ',')) {
    const std::string host(HostOf(one));
    if (host.empty()) {
      return absl::InvalidArgumentError(absl::StrCat(
          "\"", address, "\" is no address; want host:port or a target such as dns:///host:port"));
    }
    if (IsThisMachine(host)) {
      return this_machine;
    }
    (IsAddress(host) ? names.addresses : names.dns_names).push_back(host);
  }
  return names;
}

}  // namespace demorl
