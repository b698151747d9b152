#include "common/rpc/grpc_log.h"

#include <openssl/x509.h>

#include <mutex>
#include <optional>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/rpc/security/log_throttle.h"
#include "grpc/support/log.h"
#include "spdlog/spdlog.h"

namespace demorl {
namespace {

constexpr absl::string_view kVerifyFailed = "Certificate verify failed with code ";
constexpr absl::string_view kHandshakeFailed = "Handshake failed with fatal error ";
// OpenSSL's own lines: "error:<code>:<library>:<function>:<reason>".
constexpr absl::string_view kOpenSslError = "error:";

// The part of OpenSSL's line that is for humans.
absl::string_view Reason(absl::string_view line) {
  const size_t colon = line.rfind(':');
  return absl::StripSuffix(colon == absl::string_view::npos ? line : line.substr(colon + 1), ".");
}

// What one of gRPC's lines says about TLS, in words; nothing for other lines.
std::optional<std::string> DescribeTlsFailure(absl::string_view line) {
  // A thread makes one handshake at a time: the code comes right before its failure.
  thread_local std::string why_refused;
  int code = 0;
  if (absl::ConsumePrefix(&line, kVerifyFailed) && absl::SimpleAtoi(line, &code)) {
    why_refused = absl::StrCat(" (", X509_verify_cert_error_string(code), ")");
    return std::nullopt;
  }
  if (absl::StartsWith(line, kHandshakeFailed)) {
    const std::string text = absl::StrCat("a TLS handshake failed: ", Reason(line), why_refused);
    why_refused.clear();
    return text;
  }
  if (absl::StartsWith(line, kOpenSslError)) {
    return absl::StrCat("the other side ended a TLS connection: ", Reason(line));
  }
  return std::nullopt;
}

void Log(gpr_log_func_args* entry) {
  static auto* const throttle = new LogThrottle();
  if (absl::StrContains(entry->file, "ssl_transport_security")) {
    if (const std::optional<std::string> failure = DescribeTlsFailure(entry->message)) {
      if (const std::optional<int> left_out = throttle->Admit()) {
        spdlog::warn("{}{}", *failure, LogThrottle::Text(*left_out));
      }
      return;
    }
  }
  spdlog::debug("grpc {}:{}: {}", entry->file, entry->line, entry->message);
}

}  // namespace

void RedirectGrpcLog() {
  static std::once_flag once;
  std::call_once(once, [] { gpr_set_log_function(Log); });
}

}  // namespace demorl
