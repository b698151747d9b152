#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "services/snapshot/core/snapshot_record.h"

namespace demorl {

// The folder of a snapshot store: <kind>/<version, 10 digits>.safetensors and .json, pins.json. The metadata
// file is written last and removed first: a payload without one was never acknowledged. Thread-compatible.
class SnapshotFiles {
 public:
  struct Loaded {
    // Whole and undamaged, by version.
    std::map<uint64_t, std::shared_ptr<const StoredSnapshot>> snapshots;
    // The highest version that any file name carries; 0 for none.
    uint64_t highest_version = 0;
    // One line per damaged version; its files were moved to <kind>/damaged/.
    std::vector<std::string> damaged;
  };

  explicit SnapshotFiles(std::filesystem::path folder) : folder_(std::move(folder)) {}

  // Makes the folders of all kinds.
  absl::Status Prepare();

  // Reads and checks every version of a kind.
  absl::StatusOr<Loaded> Load(SnapshotKind kind);

  // Durable when it returns OK; leaves nothing visible behind otherwise.
  absl::Status Write(const StoredSnapshot& snapshot);

  // NOT_FOUND, DATA_LOSS.
  absl::StatusOr<std::shared_ptr<const StoredSnapshot>> Read(SnapshotKind kind, uint64_t version) const;

  void Remove(SnapshotKind kind, uint64_t version);

  // DATA_LOSS if the file is there and cannot be read: which policy robots run is not guessed.
  absl::StatusOr<std::map<SnapshotKind, uint64_t>> ReadPins() const;
  absl::Status WritePins(const std::map<SnapshotKind, uint64_t>& pins);

 private:
  std::filesystem::path KindFolder(SnapshotKind kind) const;
  std::filesystem::path PayloadPath(SnapshotKind kind, uint64_t version) const;
  std::filesystem::path InfoPath(SnapshotKind kind, uint64_t version) const;
  absl::Status SetAside(SnapshotKind kind, uint64_t version);

  const std::filesystem::path folder_;
};

}  // namespace demorl
