#include "common/rpc/security/revocation_lists.h"

#include <openssl/err.h>
#include <openssl/pem.h>

#include <ctime>

#include "absl/strings/str_cat.h"
#include "common/base/file_io.h"
#include "common/base/status_macros.h"
#include "common/rpc/security/certificate.h"
#include "spdlog/spdlog.h"

namespace demorl {
namespace {

namespace fs = std::filesystem;

std::string DateText(const ASN1_TIME* time) {
  std::tm parts = {};
  if (ASN1_TIME_to_tm(time, &parts) != 1) {
    return "an unknown date";
  }
  return absl::FormatTime(absl::RFC3339_sec, absl::FromTM(parts, absl::UTCTimeZone()), absl::UTCTimeZone());
}

void WarnIfOutdated(const fs::path& file, const X509_CRL* list) {
  const ASN1_TIME* next = X509_CRL_get0_nextUpdate(list);
  if (next != nullptr && X509_cmp_current_time(next) < 0) {
    spdlog::warn("{} should have been replaced by {}; it is used as it is", file.string(), DateText(next));
  }
}

}  // namespace

absl::Status RevocationLists::ReadFileOfLists(const fs::path& file, Lists* lists) {
  ASSIGN_OR_RETURN(const std::string text, ReadFile(file));
  const size_t before = lists->size();
  const openssl::Bio reader = openssl::ReaderOf(text);
  ERR_clear_error();
  while (X509_CRL* list = PEM_read_bio_X509_CRL(reader.get(), nullptr, nullptr, nullptr)) {
    lists->emplace_back(list);
    WarnIfOutdated(file, list);
  }
  const bool is_at_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
  ERR_clear_error();
  if (!is_at_end) {
    return absl::InvalidArgumentError(absl::StrCat(
        file.string(), ": revocation list ", lists->size() - before + 1, " in it is damaged or not whole"));
  }
  if (lists->size() == before) {
    return absl::InvalidArgumentError(
        absl::StrCat(file.string(), ": no revocation list in PEM form (-----BEGIN X509 CRL-----)"));
  }
  return absl::OkStatus();
}

absl::StatusOr<RevocationLists::Lists> RevocationLists::Read(const fs::path& folder) {
  std::error_code error;
  Lists lists;
  for (fs::directory_iterator entries(folder, error), end; !error && entries != end;
       entries.increment(error)) {
    if (entries->path().extension() != ".crl") {
      continue;
    }
    RETURN_IF_ERROR(ReadFileOfLists(entries->path(), &lists));
  }
  if (error) {
    return absl::NotFoundError(absl::StrCat("crl_dir ", folder.string(), ": ", error.message()));
  }
  return lists;
}

absl::StatusOr<std::unique_ptr<RevocationLists>> RevocationLists::Open(const fs::path& folder) {
  std::unique_ptr<RevocationLists> opened(new RevocationLists(folder));
  absl::MutexLock lock(&opened->mutex_);
  opened->watch_.Changed();
  ASSIGN_OR_RETURN(opened->lists_, Read(folder));
  return opened;
}

void RevocationLists::Refresh() {
  if (!watch_.Changed()) {
    return;
  }
  absl::StatusOr<Lists> lists = Read(watch_.path());
  if (lists.ok() && lists->empty() && !lists_.empty()) {
    lists =
        absl::NotFoundError(absl::StrCat("crl_dir ", watch_.path().string(), " holds no *.crl any longer"));
  }
  if (!lists.ok()) {
    if (watch_.NoteFailure()) {
      spdlog::error("revocation lists are not read again: {}; those from before hold",
                    std::string(lists.status().message()));
    }
    return;
  }
  lists_ = *std::move(lists);
  ++generation_;
  spdlog::info("{} revocation lists in {}", lists_.size(), watch_.path().string());
}

int64_t RevocationLists::generation() {
  absl::MutexLock lock(&mutex_);
  Refresh();
  return generation_;
}

absl::Status RevocationLists::Check(absl::string_view certificate_pem) {
  const openssl::CertificatePtr certificate = openssl::ReadPemCertificate(certificate_pem);
  if (certificate == nullptr) {
    ERR_clear_error();
    return absl::UnauthenticatedError("no certificate");
  }
  absl::MutexLock lock(&mutex_);
  Refresh();
  for (const openssl::RevocationListPtr& list : lists_) {
    X509_REVOKED* entry = nullptr;
    if (X509_NAME_cmp(X509_CRL_get_issuer(list.get()), X509_get_issuer_name(certificate.get())) == 0 &&
        X509_CRL_get0_by_cert(list.get(), &entry, certificate.get()) == 1) {
      ASSIGN_OR_RETURN(const Certificate facts, ReadCertificate(certificate_pem));
      return absl::UnauthenticatedError(absl::StrCat("the ", facts.Describe(), " was revoked on ",
                                                     DateText(X509_REVOKED_get0_revocationDate(entry))));
    }
  }
  return absl::OkStatus();
}

}  // namespace demorl
