#include "common/rpc/security/alternative_names.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>

#include <array>
#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/rpc/security/openssl_handles.h"

namespace demorl {
namespace {

using ::demorl::openssl::CertificatePtr;
using ::demorl::openssl::Deleter;

std::string WrittenAddress(int family, const unsigned char* bytes) {
  std::array<char, INET6_ADDRSTRLEN> text = {};
  return absl::StrCat("IP:", inet_ntop(family, bytes, text.data(), text.size()));
}

std::string Written(const GENERAL_NAME& name) {
  int type = 0;
  const auto* value = static_cast<const ASN1_STRING*>(GENERAL_NAME_get0_value(&name, &type));
  const int length = ASN1_STRING_length(value);
  if (type == GEN_IPADD && (length == sizeof(in_addr) || length == sizeof(in6_addr))) {
    return WrittenAddress(length == sizeof(in_addr) ? AF_INET : AF_INET6, ASN1_STRING_get0_data(value));
  }
  if (type != GEN_URI && type != GEN_DNS) {
    return absl::StrCat("a name of type ", type);
  }
  return absl::StrCat(type == GEN_URI ? "URI:" : "DNS:",
                      absl::string_view(reinterpret_cast<const char*>(ASN1_STRING_get0_data(value)),
                                        static_cast<size_t>(length)));
}

}  // namespace

std::set<std::string> AlternativeNamesOf(absl::string_view pem) {
  std::set<std::string> names;
  const CertificatePtr certificate = openssl::ReadPemCertificate(pem);
  if (certificate == nullptr) {
    ERR_clear_error();
    return names;
  }
  const std::unique_ptr<GENERAL_NAMES, Deleter<GENERAL_NAMES_free>> found(static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(certificate.get(), NID_subject_alt_name, nullptr, nullptr)));
  for (int i = 0; found != nullptr && i < sk_GENERAL_NAME_num(found.get()); ++i) {
    names.insert(Written(*sk_GENERAL_NAME_value(found.get(), i)));
  }
  return names;
}

std::string WrittenAsUsual(absl::string_view name) {
  absl::string_view address = name;
  if (absl::ConsumePrefix(&address, "IP:")) {
    std::array<unsigned char, sizeof(in6_addr)> bytes = {};
    for (const int family : {AF_INET, AF_INET6}) {
      if (inet_pton(family, std::string(address).c_str(), bytes.data()) == 1) {
        return WrittenAddress(family, bytes.data());
      }
    }
  }
  return std::string(name);
}

}  // namespace demorl
