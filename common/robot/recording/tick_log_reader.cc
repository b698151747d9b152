#include "common/robot/recording/tick_log_reader.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/base/file_io.h"
#include "common/base/status_macros.h"

namespace demorl {
namespace {

absl::StatusOr<std::filesystem::path> FindLog(const std::filesystem::path& path) {
  std::error_code error;
  if (!std::filesystem::is_directory(path, error)) {
    return path;
  }
  if (std::filesystem::exists(path / kTickLogFileName, error)) {
    return path / kTickLogFileName;
  }
  uint64_t newest = 0;
  std::filesystem::path found;
  for (std::filesystem::directory_iterator i(path, error), end; !error && i != end; i.increment(error)) {
    uint64_t start_count = 0;
    if (absl::SimpleAtoi(i->path().filename().string(), &start_count) && start_count >= newest &&
        std::filesystem::exists(i->path() / kTickLogFileName, error)) {
      newest = start_count;
      found = i->path() / kTickLogFileName;
    }
  }
  if (found.empty()) {
    return absl::NotFoundError(absl::StrCat("no log of ticks in ", path.string(), "; want a file ",
                                            kTickLogFileName, " there or in a folder of one start"));
  }
  return found;
}

}  // namespace

TickLogReader::TickLogReader(std::filesystem::path path, const DecodedTickLogHeader& decoded, int descriptor)
    : path_(std::move(path)), header_(decoded.header), packer_(header_), descriptor_(descriptor) {
  slot_.resize(packer_.slot_bytes());
}

TickLogReader::~TickLogReader() { close(descriptor_); }

absl::StatusOr<std::unique_ptr<TickLogReader>> TickLogReader::Open(const std::filesystem::path& given_path) {
  ASSIGN_OR_RETURN(const std::filesystem::path path, FindLog(given_path));
  const int descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) {
    return ErrnoToStatus(errno, "open", path);
  }
  std::string bytes(kTickLogHeaderBytes, '\0');
  const ssize_t count = pread(descriptor, bytes.data(), bytes.size(), 0);
  bytes.resize(std::max<ssize_t>(count, 0));
  const absl::StatusOr<DecodedTickLogHeader> decoded = DecodeTickLogHeader(bytes);
  if (!decoded.ok()) {
    close(descriptor);
    return absl::Status(decoded.status().code(),
                        absl::StrCat(path.string(), ": ", decoded.status().message()));
  }
  std::unique_ptr<TickLogReader> reader(new TickLogReader(path, *decoded, descriptor));
  reader->FindRecords(decoded->num_slots);
  return reader;
}

uint64_t TickLogReader::ReadSlot(uint64_t slot, TickRecord& record) {
  const auto offset = static_cast<int64_t>(kTickLogHeaderBytes + slot * slot_.size());
  const ssize_t count = pread(descriptor_, slot_.data(), slot_.size(), offset);
  return count == static_cast<ssize_t>(slot_.size()) ? packer_.Unpack(slot_, record) : 0;
}

void TickLogReader::FindRecords(uint64_t num_slots) {
  std::error_code error;
  const uint64_t file_bytes = std::filesystem::file_size(path_, error);
  const uint64_t slots_there =
      error || file_bytes < kTickLogHeaderBytes ? 0 : (file_bytes - kTickLogHeaderBytes) / slot_.size();
  TickRecord record;
  for (uint64_t slot = 0; slot < std::min(num_slots, slots_there); ++slot) {
    const uint64_t number = ReadSlot(slot, record);
    if (number > 0 && number % num_slots == slot) {
      order_.push_back({number, slot});
    } else if (std::any_of(slot_.begin(), slot_.end(), [](char byte) { return byte != 0; })) {
      ++num_damaged_;
    }
  }
  std::sort(order_.begin(), order_.end(), [](const Entry& a, const Entry& b) { return a.number < b.number; });
}

std::optional<TickRecord> TickLogReader::Next() {
  TickRecord record;
  while (next_ < order_.size()) {
    const Entry& entry = order_[next_++];
    // Another number: overwritten since.
    if (ReadSlot(entry.slot, record) == entry.number) {
      return record;
    }
  }
  return std::nullopt;
}

absl::StatusOr<std::string> TickLogReader::ReadPolicy(uint64_t version) const {
  return ReadFile(path_.parent_path() / absl::StrCat(version, ".safetensors"));
}

}  // namespace demorl
