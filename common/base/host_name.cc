#include "common/base/host_name.h"

#include <unistd.h>

#include <array>

#include "absl/strings/str_replace.h"

namespace demorl {

std::string ExpandHostName(const std::string& text) {
  std::array<char, 256> host_name{};
  gethostname(host_name.data(), host_name.size() - 1);
  return absl::StrReplaceAll(text, {{"${HOSTNAME}", host_name.data()}});
}

}  // namespace demorl
