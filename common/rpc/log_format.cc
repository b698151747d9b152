#include "common/rpc/log_format.h"

#include <algorithm>
#include <cstddef>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "spdlog/pattern_formatter.h"

namespace demorl {
namespace {

constexpr size_t kMaxBytes = 32 << 10;

void Append(absl::string_view text, spdlog::memory_buf_t& line) {
  line.append(text.data(), text.data() + text.size());
}

class HarmlessMessage final : public spdlog::custom_flag_formatter {
 public:
  void format(const spdlog::details::log_msg& message, const std::tm&, spdlog::memory_buf_t& line) override {
    const size_t shown = std::min(message.payload.size(), kMaxBytes);
    for (const char c : absl::string_view(message.payload.data(), shown)) {
      if (c == '\n') {
        Append("\n    ", line);
      } else if (absl::ascii_iscntrl(static_cast<unsigned char>(c)) && c != '\t') {
        Append(absl::StrCat("\\x", absl::Hex(static_cast<unsigned char>(c), absl::kZeroPad2)), line);
      } else {
        line.push_back(c);
      }
    }
    if (shown < message.payload.size()) {
      Append(absl::StrCat("... (", message.payload.size() - shown, " bytes more)"), line);
    }
  }
  std::unique_ptr<custom_flag_formatter> clone() const override {
    return std::make_unique<HarmlessMessage>();
  }
};

}  // namespace

std::unique_ptr<spdlog::formatter> MakeLogFormatter() {
  auto formatter = std::make_unique<spdlog::pattern_formatter>();
  formatter->add_flag<HarmlessMessage>('*').set_pattern("%Y-%m-%dT%H:%M:%S.%e %^%l%$ %n: %*");
  return formatter;
}

}  // namespace demorl
