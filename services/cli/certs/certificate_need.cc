#include "services/cli/certs/certificate_need.h"

#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/file_io.h"
#include "common/rpc/security/alternative_names.h"
#include "common/rpc/security/certificate.h"
#include "common/rpc/security/revocation_lists.h"

namespace demorl {
namespace {

std::string WhyRevoked(const std::filesystem::path& crl_dir, absl::string_view certificate) {
  const auto lists = RevocationLists::Open(crl_dir);
  const absl::Status checked = lists.ok() ? (*lists)->Check(certificate) : lists.status();
  return std::string(checked.message());
}

}  // namespace

std::string WhyDue(const CertificateNeed& need, absl::Time now) {
  const absl::StatusOr<std::string> pem = ReadFile(need.tls_dir / "tls.crt");
  const absl::StatusOr<std::string> key = ReadFile(need.tls_dir / "tls.key");
  const absl::StatusOr<std::string> authorities = ReadFile(need.tls_dir / "ca.crt");
  if (!pem.ok() || !key.ok() || !authorities.ok()) {
    return "there was none";
  }
  const absl::StatusOr<Certificate> certificate = ReadCertificate(*pem);
  if (!certificate.ok() || !CheckKeyFits(*pem, *key).ok()) {
    return "certificate and key did not fit";
  }
  if (*authorities != need.authorities || !CheckIssuedBy(*pem, need.authorities).ok()) {
    return "it was of another authority";
  }
  std::set<std::string> wanted;
  for (const std::string& name : need.names) {
    wanted.insert(WrittenAsUsual(name));
  }
  if (const std::set<std::string> found = AlternativeNamesOf(*pem); found != wanted) {
    return absl::StrCat("it was for ", absl::StrJoin(found, ", "));
  }
  if (std::string revoked = WhyRevoked(need.crl_dir, *pem); !revoked.empty()) {
    return revoked;
  }
  if (certificate->not_after - now < (certificate->not_after - certificate->not_before) / 3) {
    return absl::StrCat("it was valid until ",
                        absl::FormatTime("%Y-%m-%d", certificate->not_after, absl::UTCTimeZone()));
  }
  return "";
}

}  // namespace demorl
