#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/rpc/security/file_watch.h"
#include "common/rpc/security/roles.h"

namespace demorl {

// The bearer tokens that a server takes, by their digests, read again when the file changes. Thread-safe.
class AcceptedTokens {
 public:
  // INVALID_ARGUMENT naming the line that cannot be read.
  static absl::StatusOr<std::unique_ptr<AcceptedTokens>> Open(const std::filesystem::path& file);

  // Who shows this token. UNAUTHENTICATED if it is not in the file or has expired. Where a changed file
  // cannot be read, the tokens from before hold.
  absl::StatusOr<Peer> Find(absl::string_view token);

 private:
  struct Entry {
    Peer peer;
    absl::Time expiry;
  };
  using Entries = std::map<std::string, Entry>;

  explicit AcceptedTokens(const std::filesystem::path& file) : watch_(file) {}
  static absl::StatusOr<Entries> Read(const std::filesystem::path& file);
  static absl::Status ReadLine(absl::string_view line, Entries* entries);
  void Refresh() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  absl::Mutex mutex_;
  FileWatch watch_ ABSL_GUARDED_BY(mutex_);
  // By SHA-256 in hexadecimal: how long a look-up takes tells nothing about tokens.
  Entries entries_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace demorl
