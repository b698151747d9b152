#include "services/actor/core/chunk_spool.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/base/crc32c.h"
#include "common/base/file_io.h"
#include "common/base/status_macros.h"

namespace demorl {
namespace {

constexpr char kPrefix[] = "spool-";
constexpr char kSuffix[] = ".log";

struct RecordHeader {
  uint32_t payload_bytes = 0;
  uint32_t crc = 0;
  uint64_t sequence = 0;
};
static_assert(sizeof(RecordHeader) == 16);

uint32_t RecordCrc(uint64_t sequence, absl::string_view payload) {
  const absl::string_view bytes(reinterpret_cast<const char*>(&sequence), sizeof(sequence));
  return Crc32c(payload, Crc32c(bytes));
}

// The number in a file's name; 0 for files that are not ours.
uint64_t FileNumber(const std::filesystem::path& path) {
  const std::string name = path.filename().string();
  uint64_t number = 0;
  if (!absl::StartsWith(name, kPrefix) || !absl::EndsWith(name, kSuffix)) {
    return 0;
  }
  const absl::string_view digits = absl::string_view(name).substr(
      sizeof(kPrefix) - 1, name.size() - (sizeof(kPrefix) - 1) - (sizeof(kSuffix) - 1));
  return absl::SimpleAtoi(digits, &number) ? number : 0;
}

}  // namespace

absl::StatusOr<std::unique_ptr<ChunkSpool>> ChunkSpool::Open(const Options& options) {
  RETURN_IF_ERROR(MakeFolders(options.folder));
  std::unique_ptr<ChunkSpool> spool(new ChunkSpool(options));
  RETURN_IF_ERROR(spool->Recover());
  return spool;
}

ChunkSpool::~ChunkSpool() { CloseFile(); }

absl::Status ChunkSpool::Recover() {
  std::error_code error;
  std::vector<std::pair<uint64_t, std::filesystem::path>> found;
  for (std::filesystem::directory_iterator i(options_.folder, error), end; !error && i != end;
       i.increment(error)) {
    if (const uint64_t number = FileNumber(i->path()); number > 0) {
      found.emplace_back(number, i->path());
    }
  }
  if (error) {
    return ErrnoToStatus(error.value(), "read", options_.folder);
  }
  std::sort(found.begin(), found.end());
  for (const auto& [number, path] : found) {
    RETURN_IF_ERROR(ReadRecords(path));
    next_file_number_ = number + 1;
  }
  // A kill between writing records anew and deleting their old files leaves them twice.
  std::stable_sort(recovered_.begin(), recovered_.end(),
                   [](const Record& a, const Record& b) { return a.sequence < b.sequence; });
  recovered_.erase(std::unique(recovered_.begin(), recovered_.end(),
                               [](const Record& a, const Record& b) { return a.sequence == b.sequence; }),
                   recovered_.end());
  return absl::OkStatus();
}

absl::Status ChunkSpool::ReadRecords(const std::filesystem::path& path) {
  ASSIGN_OR_RETURN(const std::string contents, ReadFile(path));
  absl::string_view rest = contents;
  files_.push_back({.path = path, .num_bytes = static_cast<int64_t>(contents.size()), .recovered = true});
  RecordHeader header;
  while (rest.size() >= sizeof(header)) {
    std::memcpy(&header, rest.data(), sizeof(header));
    if (header.payload_bytes > rest.size() - sizeof(header)) {
      break;
    }
    const absl::string_view payload = rest.substr(sizeof(header), header.payload_bytes);
    if (header.crc != RecordCrc(header.sequence, payload)) {
      break;
    }
    recovered_.push_back({header.sequence, std::string(payload)});
    files_.back().last_sequence = header.sequence;
    rest.remove_prefix(sizeof(header) + payload.size());
  }
  num_damaged_bytes_ += static_cast<int64_t>(rest.size());
  return absl::OkStatus();
}

std::vector<ChunkSpool::Record> ChunkSpool::TakeRecovered() { return std::exchange(recovered_, {}); }

int64_t ChunkSpool::num_bytes() const {
  int64_t bytes = 0;
  for (const File& file : files_) {
    bytes += file.num_bytes;
  }
  return bytes;
}

absl::Status ChunkSpool::StartFile() {
  CloseFile();
  const std::filesystem::path path =
      options_.folder / absl::StrFormat("%s%012d%s", kPrefix, next_file_number_, kSuffix);
  descriptor_ = open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0644);
  if (descriptor_ < 0) {
    return ErrnoToStatus(errno, "create", path);
  }
  ++next_file_number_;
  files_.push_back({.path = path});
  return absl::OkStatus();
}

void ChunkSpool::CloseFile() {
  if (descriptor_ >= 0) {
    close(descriptor_);
    descriptor_ = -1;
  }
}

absl::Status ChunkSpool::Append(uint64_t sequence, absl::string_view payload) {
  const RecordHeader header{static_cast<uint32_t>(payload.size()), RecordCrc(sequence, payload), sequence};
  std::string record(reinterpret_cast<const char*>(&header), sizeof(header));
  record.append(payload.data(), payload.size());
  const int64_t record_bytes = static_cast<int64_t>(record.size());
  if (num_bytes() + record_bytes > options_.max_bytes) {
    return absl::ResourceExhaustedError(absl::StrCat("the spool ", options_.folder.string(), " holds ",
                                                     num_bytes(), " bytes, at most ", options_.max_bytes,
                                                     " are allowed"));
  }
  if (descriptor_ < 0 || files_.back().num_bytes + record_bytes > options_.file_bytes) {
    RETURN_IF_ERROR(StartFile());
  }
  File& file = files_.back();
  const ssize_t written = write(descriptor_, record.data(), record.size());
  if (written != record_bytes) {
    const int error_number = written < 0 ? errno : ENOSPC;
    // Takes a half-written record back, so that later ones stay readable.
    if (ftruncate(descriptor_, file.num_bytes) != 0) {
      CloseFile();
    }
    return ErrnoToStatus(error_number, "write", file.path);
  }
  file.num_bytes += record_bytes;
  file.last_sequence = sequence;
  return absl::OkStatus();
}

absl::Status ChunkSpool::RemoveFront() {
  const File& file = files_.front();
  if (unlink(file.path.c_str()) != 0 && errno != ENOENT) {
    return ErrnoToStatus(errno, "delete", file.path);
  }
  files_.pop_front();
  return absl::OkStatus();
}

absl::Status ChunkSpool::RemoveThrough(uint64_t sequence) {
  while (!files_.empty() && !files_.front().recovered && files_.front().last_sequence <= sequence) {
    if (files_.size() == 1) {
      if (files_.front().num_bytes == 0) {
        return absl::OkStatus();
      }
      CloseFile();
    }
    RETURN_IF_ERROR(RemoveFront());
  }
  return absl::OkStatus();
}

absl::Status ChunkSpool::RemoveRecovered() {
  while (!files_.empty() && files_.front().recovered) {
    RETURN_IF_ERROR(RemoveFront());
  }
  return absl::OkStatus();
}

}  // namespace demorl
