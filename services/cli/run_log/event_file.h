#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace demorl {

// Writes scalars as a TensorBoard event file: TFRecord framing (length, masked CRC32C, data, masked CRC32C)
// around Event messages of tensorflow/core/util/event.proto, encoded by hand. Thread-compatible.
class EventFileWriter {
 public:
  // Starts "events.out.tfevents.<seconds>.<host>.<process>" in an existing folder; a resumed run adds a file.
  static absl::StatusOr<std::unique_ptr<EventFileWriter>> Create(const std::filesystem::path& folder,
                                                                 absl::Time now);
  ~EventFileWriter();

  EventFileWriter(const EventFileWriter&) = delete;
  EventFileWriter& operator=(const EventFileWriter&) = delete;

  // Written to the system at once, without fsync.
  absl::Status AddScalar(absl::string_view tag, int64_t step, double value, absl::Time now);

  const std::filesystem::path& path() const { return path_; }

 private:
  EventFileWriter(std::filesystem::path path, int descriptor);
  absl::Status WriteRecord(absl::string_view event);

  const std::filesystem::path path_;
  const int descriptor_;
};

}  // namespace demorl
