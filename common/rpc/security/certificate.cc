#include "common/rpc/security/certificate.h"

#include <openssl/bn.h>
#include <openssl/err.h>
#include <openssl/sha.h>
#include <openssl/x509v3.h>

#include <ctime>
#include <memory>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "common/rpc/security/openssl_handles.h"

namespace demorl {
namespace {

using ::demorl::openssl::CertificatePtr;
using ::demorl::openssl::Deleter;
using ::demorl::openssl::ReaderOf;

std::string NameOf(const X509_NAME* name) {
  const openssl::Bio text(BIO_new(BIO_s_mem()));
  X509_NAME_print_ex(text.get(), name, 0, XN_FLAG_RFC2253);
  char* data = nullptr;
  const long size = BIO_get_mem_data(text.get(), &data);
  return size > 0 ? std::string(data, static_cast<size_t>(size)) : "no subject";
}

std::string SerialOf(const ASN1_INTEGER* serial) {
  const std::unique_ptr<BIGNUM, Deleter<BN_free>> number(ASN1_INTEGER_to_BN(serial, nullptr));
  char* const text = BN_bn2hex(number.get());
  const std::string result(text);
  OPENSSL_free(text);
  return result;
}

absl::Time TimeOf(const ASN1_TIME* time) {
  std::tm parts = {};
  return ASN1_TIME_to_tm(time, &parts) == 1 ? absl::FromTM(parts, absl::UTCTimeZone()) : absl::InfinitePast();
}

std::vector<std::string> UrisOf(const X509* certificate) {
  std::vector<std::string> uris;
  const std::unique_ptr<GENERAL_NAMES, Deleter<GENERAL_NAMES_free>> names(
      static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
  for (int i = 0; names != nullptr && i < sk_GENERAL_NAME_num(names.get()); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names.get(), i);
    if (name->type == GEN_URI) {
      const ASN1_IA5STRING* uri = name->d.uniformResourceIdentifier;
      uris.emplace_back(reinterpret_cast<const char*>(ASN1_STRING_get0_data(uri)),
                        static_cast<size_t>(ASN1_STRING_length(uri)));
    }
  }
  return uris;
}

void FreeAll(STACK_OF(X509) * certificates) { sk_X509_pop_free(certificates, X509_free); }

using CertificateList = std::unique_ptr<STACK_OF(X509), Deleter<FreeAll>>;

CertificateList ReadAll(absl::string_view pem) {
  CertificateList certificates(sk_X509_new_null());
  const openssl::Bio reader = ReaderOf(pem);
  while (X509* certificate = PEM_read_bio_X509(reader.get(), nullptr, nullptr, nullptr)) {
    sk_X509_push(certificates.get(), certificate);
  }
  ERR_clear_error();
  return certificates;
}

}  // namespace

std::string Certificate::Describe() const {
  return absl::StrCat("certificate of \"", subject, "\" (serial ", serial, ")");
}

absl::StatusOr<Certificate> ReadCertificate(absl::string_view pem) {
  const CertificatePtr x509 = openssl::ReadPemCertificate(pem);
  if (x509 == nullptr) {
    ERR_clear_error();
    return absl::InvalidArgumentError("no certificate in PEM form (-----BEGIN CERTIFICATE-----)");
  }
  return Certificate{.subject = NameOf(X509_get_subject_name(x509.get())),
                     .serial = SerialOf(X509_get0_serialNumber(x509.get())),
                     .issuer = NameOf(X509_get_issuer_name(x509.get())),
                     .not_before = TimeOf(X509_get0_notBefore(x509.get())),
                     .not_after = TimeOf(X509_get0_notAfter(x509.get())),
                     .uris = UrisOf(x509.get())};
}

absl::Status CheckKeyFits(absl::string_view chain, absl::string_view key) {
  const CertificatePtr x509 = openssl::ReadPemCertificate(chain);
  const openssl::Key private_key(PEM_read_bio_PrivateKey(ReaderOf(key).get(), nullptr, nullptr, nullptr));
  const bool fits =
      x509 != nullptr && private_key != nullptr && X509_check_private_key(x509.get(), private_key.get()) == 1;
  ERR_clear_error();
  if (x509 == nullptr || private_key == nullptr) {
    return absl::InvalidArgumentError(x509 == nullptr ? "no certificate in PEM form"
                                                      : "no private key in PEM form");
  }
  return fits ? absl::OkStatus() : absl::FailedPreconditionError("the key is not that of the certificate");
}

absl::Status CheckIssuedBy(absl::string_view chain, absl::string_view authorities) {
  const CertificateList shown = ReadAll(chain), trusted = ReadAll(authorities);
  if (sk_X509_num(shown.get()) == 0) {
    return absl::InvalidArgumentError("no certificate in PEM form");
  }
  const std::unique_ptr<X509_STORE_CTX, Deleter<X509_STORE_CTX_free>> check(X509_STORE_CTX_new());
  X509_STORE_CTX_init(check.get(), nullptr, sk_X509_value(shown.get(), 0), shown.get());
  X509_STORE_CTX_set0_trusted_stack(check.get(), trusted.get());
  X509_STORE_CTX_set_flags(check.get(), X509_V_FLAG_NO_CHECK_TIME);
  const bool is_issued = X509_verify_cert(check.get()) == 1;
  const int error = X509_STORE_CTX_get_error(check.get());
  ERR_clear_error();
  if (is_issued) {
    return absl::OkStatus();
  }
  return absl::FailedPreconditionError(
      absl::StrCat("no authority in it has issued the certificate, whose issuer is \"",
                   NameOf(X509_get_issuer_name(sk_X509_value(shown.get(), 0))), "\" (",
                   X509_verify_cert_error_string(error), ")"));
}

std::string Sha256Hex(absl::string_view bytes) {
  unsigned char digest[SHA256_DIGEST_LENGTH];
  SHA256(reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(), digest);
  return absl::BytesToHexString(absl::string_view(reinterpret_cast<const char*>(digest), sizeof(digest)));
}

}  // namespace demorl
