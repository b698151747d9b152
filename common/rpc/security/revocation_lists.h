#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "common/rpc/security/file_watch.h"
#include "common/rpc/security/openssl_handles.h"

namespace demorl {

// The certificates that their authorities have taken back: "*.crl" (PEM) of a folder, read again when they
// change. Lists are trusted as the folder is. Thread-safe.
class RevocationLists {
 public:
  // INVALID_ARGUMENT naming the file that is no list or not a whole one, NOT_FOUND without the folder.
  static absl::StatusOr<std::unique_ptr<RevocationLists>> Open(const std::filesystem::path& folder);

  // UNAUTHENTICATED with the date if a list of its issuer names the certificate. Where a changed folder
  // cannot be read, or holds no list any longer, the lists from before hold.
  absl::Status Check(absl::string_view certificate_pem);

  // Grows when lists are read again.
  int64_t generation();

 private:
  using Lists = std::vector<openssl::RevocationListPtr>;

  explicit RevocationLists(const std::filesystem::path& folder) : watch_(folder) {}
  static absl::Status ReadFileOfLists(const std::filesystem::path& file, Lists* lists);
  static absl::StatusOr<Lists> Read(const std::filesystem::path& folder);
  void Refresh() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  absl::Mutex mutex_;
  FileWatch watch_ ABSL_GUARDED_BY(mutex_);
  Lists lists_ ABSL_GUARDED_BY(mutex_);
  int64_t generation_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace demorl
