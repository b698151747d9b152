#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace demorl {

// Files of one checkpoint by name.
using CheckpointFiles = std::map<std::string, std::string>;

struct LoadedCheckpoint {
  int64_t step = 0;
  CheckpointFiles files;
  // Newer checkpoints that were passed over because they are incomplete or damaged, with the reason.
  std::vector<std::string> skipped;
};

// Checkpoints of one component under `<root>/<step, 10 digits>/`: its files, MANIFEST (CRC-32C, size and name
// of each), and DONE, which is written last. A folder appears under its name only when it is complete and on
// disk. Thread- compatible; one process at a time.
class CheckpointStore {
 public:
  // The newest `keep` checkpoints stay.
  CheckpointStore(std::filesystem::path root, int keep) : root_(std::move(root)), keep_(keep) {}

  // Durable on return; replaces a checkpoint of the same step. The folder. Errors as WriteFileAtomically;
  // earlier checkpoints are untouched by a failure.
  absl::StatusOr<std::filesystem::path> Write(int64_t step, const CheckpointFiles& files) const;

  // The newest checkpoint whose every byte agrees with its manifest. NOT_FOUND if there is none, DATA_LOSS if
  // all are damaged; these are never deleted.
  absl::StatusOr<LoadedCheckpoint> LoadNewest() const;

 private:
  // Steps of the complete checkpoints, newest first.
  std::vector<int64_t> Steps() const;
  std::filesystem::path Folder(int64_t step) const;
  absl::StatusOr<CheckpointFiles> Load(int64_t step) const;
  void RemoveOld() const;

  std::filesystem::path root_;
  int keep_;
};

}  // namespace demorl
