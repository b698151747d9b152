#include "common/rpc/security/own_certificate.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/base/clock.h"
#include "common/base/file_io.h"
#include "common/base/status_macros.h"
#include "common/rpc/security/secret_file.h"
#include "spdlog/spdlog.h"

namespace demorl {
namespace {

namespace fs = std::filesystem;

constexpr absl::Duration kPeriod = absl::Seconds(1);

absl::Status InFile(const fs::path& file, const absl::Status& status) {
  return status.ok() ? status
                     : absl::Status(status.code(), absl::StrCat(file.string(), ": ", status.message()));
}

std::string DateText(absl::Time time) {
  return absl::FormatTime(absl::RFC3339_sec, time, absl::UTCTimeZone());
}

}  // namespace

absl::Status OwnCertificate::CheckUsable(const Certificate& certificate, const std::string& chain) const {
  const fs::path file = tls_dir_ / "tls.crt";
  if (certificate.not_after < absl::Now()) {
    return InFile(
        file, absl::FailedPreconditionError(absl::StrCat("the ", certificate.Describe(), " has expired on ",
                                                         DateText(certificate.not_after))));
  }
  if (certificate.not_before > absl::Now()) {
    return InFile(file, absl::FailedPreconditionError(
                            absl::StrCat("the ", certificate.Describe(), " is not valid before ",
                                         DateText(certificate.not_before), "; is the clock right?")));
  }
  if (const absl::Status revoked = access_->CheckNotRevoked(chain); !revoked.ok()) {
    return InFile(file, absl::FailedPreconditionError(revoked.message()));
  }
  return absl::OkStatus();
}

std::string OwnCertificate::Doubt(const Certificate& certificate, const std::string& chain) const {
  if (const absl::Status role = access_->RoleOf(certificate).status(); !role.ok()) {
    return std::string(role.message());
  }
  const absl::StatusOr<std::string> authorities = ReadFile(tls_dir_ / "ca.crt");
  const absl::Status issued = authorities.ok() ? CheckIssuedBy(chain, *authorities) : authorities.status();
  return issued.ok() ? "" : absl::StrCat((tls_dir_ / "ca.crt").string(), ": ", issued.message());
}

OwnCertificate::Look OwnCertificate::LookNow() const {
  Look look;
  const auto read = [&]() -> absl::Status {
    ASSIGN_OR_RETURN(const std::string chain, ReadFile(tls_dir_ / "tls.crt"));
    ASSIGN_OR_RETURN(const std::string key, ReadFile(tls_dir_ / "tls.key"));
    absl::StatusOr<Certificate> certificate = ReadCertificate(chain);
    RETURN_IF_ERROR(InFile(tls_dir_ / "tls.crt", certificate.status()));
    look.certificate = *std::move(certificate);
    RETURN_IF_ERROR(InFile(tls_dir_ / "tls.key", CheckKeyFits(chain, key)));
    look.doubt = Doubt(*look.certificate, chain);
    return CheckUsable(*look.certificate, chain);
  };
  look.usable = read();
  return look;
}

absl::StatusOr<std::shared_ptr<OwnCertificate>> OwnCertificate::Open(const fs::path& tls_dir,
                                                                     std::shared_ptr<AccessControl> access) {
  std::shared_ptr<OwnCertificate> opened(new OwnCertificate(tls_dir, std::move(access)));
  Look look = opened->LookNow();
  RETURN_IF_ERROR(look.usable);
  absl::MutexLock lock(&opened->mutex_);
  opened->Take(std::move(look));
  return opened;
}

void OwnCertificate::Take(Look look) {
  if (look.usable != last_.usable && !look.usable.ok()) {
    spdlog::error("others will refuse our certificate: {}", std::string(look.usable.message()));
  }
  if (look.doubt != last_.doubt && !look.doubt.empty()) {
    spdlog::warn("others may refuse our certificate: {}", look.doubt);
  }
  const bool is_new = look.certificate.has_value() && (!last_.certificate.has_value() ||
                                                       look.certificate->serial != last_.certificate->serial);
  if (is_new) {
    WarnIfOthersMayRead(tls_dir_ / "tls.key");
  }
  if (look.usable.ok() && (is_new || !last_.usable.ok())) {
    spdlog::info(
        "TLS as {}, until {}",
        look.certificate->uris.empty() ? look.certificate->Describe() : look.certificate->uris.front(),
        DateText(look.certificate->not_after));
  }
  if (!look.certificate.has_value()) {
    look.certificate = std::move(last_.certificate);
  }
  last_ = std::move(look);
}

void OwnCertificate::Refresh() {
  const absl::Duration now = RealClock::Get().Now();
  absl::MutexLock lock(&mutex_);
  if (now >= next_look_) {
    next_look_ = now + kPeriod;
    Take(LookNow());
  }
}

Certificate OwnCertificate::certificate() const {
  absl::MutexLock lock(&mutex_);
  return last_.certificate.value_or(Certificate());
}

std::string OwnCertificate::Explain() {
  Look look = LookNow();
  absl::MutexLock lock(&mutex_);
  Take(look);
  const Certificate certificate = last_.certificate.value_or(Certificate());
  const std::string wrong = look.usable.ok() ? look.doubt : std::string(look.usable.message());
  return absl::StrCat(certificate.Describe(), " of issuer \"", certificate.issuer, "\", valid until ",
                      DateText(certificate.not_after), wrong.empty() ? "" : absl::StrCat("; ", wrong));
}

}  // namespace demorl
