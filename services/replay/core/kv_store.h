#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace demorl {

struct KvChange {
  enum class Kind { kPut, kDelete, kDeleteRange };
  Kind kind = Kind::kPut;
  std::string key;
  // The new value; for a range the key after its last one.
  std::string value;
};

// An ordered map of byte strings on disk. One thread at a time; the second implementation is a fake that
// fails on request.
class KvStore {
 public:
  virtual ~KvStore() = default;

  // All changes or none, in order, on the disk when it returns. After an error the same call may be repeated;
  // it heals by itself once the disk works again. RESOURCE_EXHAUSTED: disk full.
  virtual absl::Status Write(const std::vector<KvChange>& changes) = 0;

  // Calls `visit` for each key that begins with `prefix`, in order, until it fails.
  virtual absl::Status Scan(
      absl::string_view prefix,
      const std::function<absl::Status(absl::string_view key, absl::string_view value)>& visit) = 0;

  // Makes a consistent copy beside the store; its path relative to the store's folder.
  virtual absl::StatusOr<std::string> CreateCheckpoint() = 0;
};

}  // namespace demorl
