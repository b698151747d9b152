#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/rpc/security/access_control.h"
#include "common/rpc/security/certificate.h"

namespace demorl {

// The certificate of this process (tls.crt of a tls_dir), and what makes others refuse it as far as we can
// know that ourselves. Thread-safe.
class OwnCertificate {
 public:
  // Logs who we are and what is doubtful: a certificate without a role, or of an authority that our own
  // ca.crt does not hold. Errors name the file that is missing, malformed or does not fit;
  // FAILED_PRECONDITION for a certificate that has expired, is not yet valid, or that our own lists call
  // revoked.
  static absl::StatusOr<std::shared_ptr<OwnCertificate>> Open(const std::filesystem::path& tls_dir,
                                                              std::shared_ptr<AccessControl> access);

  // Reads the files again, at most once a second, and logs what is new or has become wrong.
  void Refresh();

  // As the file was when it could last be read.
  Certificate certificate() const;

  // For the message of a call that a server may have refused: which certificate we show now, and what is
  // wrong with it.
  std::string Explain();

 private:
  struct Look {
    std::optional<Certificate> certificate;
    // Why nobody will take it, and why others may not.
    absl::Status usable;
    std::string doubt;
  };

  OwnCertificate(std::filesystem::path tls_dir, std::shared_ptr<AccessControl> access)
      : tls_dir_(std::move(tls_dir)), access_(std::move(access)) {}
  Look LookNow() const;
  absl::Status CheckUsable(const Certificate& certificate, const std::string& chain) const;
  std::string Doubt(const Certificate& certificate, const std::string& chain) const;
  void Take(Look look) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const std::filesystem::path tls_dir_;
  const std::shared_ptr<AccessControl> access_;
  mutable absl::Mutex mutex_;
  Look last_ ABSL_GUARDED_BY(mutex_);
  absl::Duration next_look_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace demorl
