#include "tests/testing/test_authority.h"

#include <openssl/x509v3.h>

#include <ctime>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "common/base/check.h"
#include "common/base/file_io.h"

namespace demorl::testing {
namespace {

namespace fs = std::filesystem;

template <typename Write>
std::string ToPem(const Write& write) {
  const openssl::Bio text(BIO_new(BIO_s_mem()));
  DEMORL_CHECK(write(text.get()) == 1);
  char* data = nullptr;
  const long size = BIO_get_mem_data(text.get(), &data);
  return std::string(data, static_cast<size_t>(size));
}

std::string CertificatePem(X509* certificate) {
  return ToPem([=](BIO* out) { return PEM_write_bio_X509(out, certificate); });
}

void SetNameTo(X509_NAME* name, const std::string& common_name) {
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8,
                             reinterpret_cast<const unsigned char*>(common_name.c_str()), -1, -1, 0);
}

void AddExtension(X509* certificate, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, certificate, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str());
  DEMORL_CHECK(extension != nullptr);
  X509_add_ext(certificate, extension, -1);
  X509_EXTENSION_free(extension);
}

openssl::CertificatePtr Unsigned(const std::string& common_name, long serial, EVP_PKEY* key,
                                 absl::Duration begin, absl::Duration end) {
  openssl::CertificatePtr x509(X509_new());
  X509_set_version(x509.get(), 2);
  ASN1_INTEGER_set(X509_get_serialNumber(x509.get()), serial);
  const std::time_t now = absl::ToTimeT(absl::Now());
  ASN1_TIME_set(X509_getm_notBefore(x509.get()), now + absl::ToInt64Seconds(begin));
  ASN1_TIME_set(X509_getm_notAfter(x509.get()), now + absl::ToInt64Seconds(end));
  SetNameTo(X509_get_subject_name(x509.get()), common_name);
  X509_set_pubkey(x509.get(), key);
  return x509;
}

}  // namespace

TestAuthority::TestAuthority(const std::string& name) : key_(EVP_EC_gen("P-256")) {
  x509_ = Unsigned(name, 1, key_.get(), -absl::Hours(2), absl::Hours(24));
  X509_set_issuer_name(x509_.get(), X509_get_subject_name(x509_.get()));
  AddExtension(x509_.get(), NID_basic_constraints, "critical,CA:TRUE");
  AddExtension(x509_.get(), NID_key_usage, "critical,keyCertSign,cRLSign");
  DEMORL_CHECK(X509_sign(x509_.get(), key_.get(), EVP_sha256()) > 0);
  certificate_ = CertificatePem(x509_.get());
}

TestAuthority::TestAuthority(const Issued& issued)
    : key_(PEM_read_bio_PrivateKey(openssl::ReaderOf(issued.key).get(), nullptr, nullptr, nullptr)),
      x509_(openssl::ReadPemCertificate(issued.certificate)),
      certificate_(issued.certificate) {}

TestAuthority::Issued TestAuthority::Issue(const Request& request) {
  const openssl::Key key(EVP_EC_gen("P-256"));
  const openssl::CertificatePtr x509 =
      Unsigned(request.common_name, next_serial_++, key.get(), request.begin, request.end);
  X509_set_issuer_name(x509.get(), X509_get_subject_name(x509_.get()));
  if (!request.alternative_names.empty()) {
    AddExtension(x509.get(), NID_subject_alt_name, absl::StrJoin(request.alternative_names, ","));
  }
  if (request.is_authority) {
    AddExtension(x509.get(), NID_basic_constraints, "critical,CA:TRUE");
    AddExtension(x509.get(), NID_key_usage, "critical,keyCertSign,cRLSign");
  }
  DEMORL_CHECK(X509_sign(x509.get(), key_.get(), EVP_sha256()) > 0);
  return {.certificate = CertificatePem(x509.get()),
          .key = ToPem([&](BIO* out) {
            return PEM_write_bio_PrivateKey(out, key.get(), nullptr, nullptr, 0, nullptr, nullptr);
          })};
}

TestAuthority::Issued TestAuthority::IssueRole(const std::string& role) {
  return Issue({.common_name = role,
                .alternative_names = {absl::StrCat("URI:spiffe://demorl.local/", role), "DNS:localhost",
                                      "IP:127.0.0.1"}});
}

TestAuthority::Issued TestAuthority::IssueAuthority(const std::string& name) {
  return Issue({.common_name = name, .is_authority = true});
}

std::string TestAuthority::RevocationList(const std::vector<Issued>& revoked) {
  const openssl::RevocationListPtr list(X509_CRL_new());
  X509_CRL_set_version(list.get(), 1);
  X509_CRL_set_issuer_name(list.get(), X509_get_subject_name(x509_.get()));
  const std::unique_ptr<ASN1_TIME, openssl::Deleter<ASN1_TIME_free>> now(
      ASN1_TIME_set(nullptr, absl::ToTimeT(absl::Now())));
  X509_CRL_set1_lastUpdate(list.get(), now.get());
  const std::unique_ptr<ASN1_TIME, openssl::Deleter<ASN1_TIME_free>> next(
      ASN1_TIME_set(nullptr, absl::ToTimeT(absl::Now() + absl::Hours(1))));
  X509_CRL_set1_nextUpdate(list.get(), next.get());
  for (const Issued& issued : revoked) {
    X509_REVOKED* entry = X509_REVOKED_new();
    X509_REVOKED_set_serialNumber(
        entry, X509_get_serialNumber(openssl::ReadPemCertificate(issued.certificate).get()));
    X509_REVOKED_set_revocationDate(entry, now.get());
    X509_CRL_add0_revoked(list.get(), entry);
  }
  DEMORL_CHECK(X509_CRL_sign(list.get(), key_.get(), EVP_sha256()) > 0);
  return ToPem([&](BIO* out) { return PEM_write_bio_X509_CRL(out, list.get()); });
}

void WriteTlsDir(const fs::path& folder, const TestAuthority::Issued& issued,
                 const std::string& authorities) {
  static int number = 0;
  const std::string data = absl::StrCat("..data_", number++);
  DEMORL_CHECK(MakeFolders(folder / data).ok());
  for (const auto& [name, text] : {std::pair("tls.crt", issued.certificate), std::pair("tls.key", issued.key),
                                   std::pair("ca.crt", authorities)}) {
    if (!text.empty()) {
      DEMORL_CHECK(WriteFileAtomically(folder / data / name, text).ok());
      fs::permissions(folder / data / name, fs::perms::owner_read | fs::perms::owner_write);
      if (!fs::is_symlink(folder / name)) {
        fs::create_symlink(fs::path("..data") / name, folder / name);
      }
    }
  }
  fs::create_symlink(data, folder / "..data_next");
  fs::rename(folder / "..data_next", folder / "..data");
}

}  // namespace demorl::testing
