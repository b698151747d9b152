#include "common/base/record_spool.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "common/base/crc32c.h"
#include "common/base/file_io.h"
#include "common/base/status_macros.h"

namespace demorl {
namespace {

constexpr char kPrefix[] = "spool-";
constexpr char kSuffix[] = ".log";
constexpr absl::Duration kMarkInterval = absl::Milliseconds(100);

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

struct FoundRecord {
  uint64_t sequence = 0;
  absl::string_view payload;
  size_t skipped_bytes = 0;
};

// The record at the start of `bytes`; nothing if there is no whole, undamaged one.
std::optional<FoundRecord> ParseRecord(absl::string_view bytes, uint64_t first_sequence,
                                       uint64_t last_sequence) {
  RecordHeader header;
  if (bytes.size() < sizeof(header)) {
    return std::nullopt;
  }
  std::memcpy(&header, bytes.data(), sizeof(header));
  if (header.payload_bytes > bytes.size() - sizeof(header) || header.sequence < first_sequence ||
      header.sequence > last_sequence) {
    return std::nullopt;
  }
  const absl::string_view payload = bytes.substr(sizeof(header), header.payload_bytes);
  if (header.crc != RecordCrc(header.sequence, payload)) {
    return std::nullopt;
  }
  return FoundRecord{header.sequence, payload, 0};
}

// The first record in `bytes`, wherever it begins. The range of plausible sequences keeps the search quick.
std::optional<FoundRecord> FindRecord(absl::string_view bytes, uint64_t first_sequence,
                                      uint64_t last_sequence) {
  for (size_t start = 0; start + sizeof(RecordHeader) <= bytes.size(); ++start) {
    if (auto found = ParseRecord(bytes.substr(start), first_sequence, last_sequence)) {
      found->skipped_bytes = start;
      return found;
    }
  }
  return std::nullopt;
}

// The sequence in a file's name; 0 for files that are not ours.
uint64_t FirstSequence(const std::filesystem::path& path) {
  const std::string name = path.filename().string();
  uint64_t sequence = 0;
  if (!absl::StartsWith(name, kPrefix) || !absl::EndsWith(name, kSuffix)) {
    return 0;
  }
  const absl::string_view digits = absl::string_view(name).substr(
      sizeof(kPrefix) - 1, name.size() - (sizeof(kPrefix) - 1) - (sizeof(kSuffix) - 1));
  return absl::SimpleAtoi(digits, &sequence) ? sequence : 0;
}

// Fewer bytes at the end of the file.
absl::Status ReadAt(int descriptor, int64_t offset, int64_t num_bytes, std::string& bytes) {
  bytes.resize(num_bytes);
  size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t count = pread(descriptor, bytes.data() + done, bytes.size() - done, offset + done);
    if (count < 0 && errno == EINTR) {
      continue;
    }
    if (count < 0) {
      return ErrnoToStatus(errno, "read", "a file of the spool");
    }
    if (count == 0) {
      break;
    }
    done += static_cast<size_t>(count);
  }
  bytes.resize(done);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<RecordSpool>> RecordSpool::Open(const Options& options) {
  RETURN_IF_ERROR(MakeFolders(options.folder));
  Options bounded = options;
  if (options.when_full == WhenFull::kDropOldest) {
    bounded.file_bytes = std::min(options.file_bytes, options.max_bytes / 4);
  }
  std::unique_ptr<RecordSpool> spool(new RecordSpool(bounded));
  RETURN_IF_ERROR(spool->Recover());
  return spool;
}

RecordSpool::~RecordSpool() {
  absl::MutexLock lock(&mutex_);
  CloseFile();
}

absl::Status RecordSpool::Recover() {
  absl::MutexLock lock(&mutex_);
  std::error_code error;
  std::vector<uint64_t> found;
  for (std::filesystem::directory_iterator i(options_.folder, error), end; !error && i != end;
       i.increment(error)) {
    if (const uint64_t first = FirstSequence(i->path()); first > 0) {
      found.push_back(first);
    }
  }
  if (error) {
    return ErrnoToStatus(error.value(), "read", options_.folder);
  }
  std::sort(found.begin(), found.end());
  for (const uint64_t first : found) {
    RETURN_IF_ERROR(RecoverFile(first));
  }
  if (!files_.empty()) {
    last_sequence_ = files_.back().last_sequence;
    next_sequence_ = last_sequence_ + 1;
  }
  return absl::OkStatus();
}

// Sequences in a file are consecutive, and a record is a header at least.
uint64_t RecordSpool::LastPossible(const File& file) {
  return file.first_sequence + file.num_bytes / sizeof(RecordHeader);
}

absl::Status RecordSpool::RecoverFile(uint64_t first_sequence) {
  const std::filesystem::path path = PathOf(first_sequence);
  ASSIGN_OR_RETURN(const std::string contents, ReadFile(path));
  File file{.first_sequence = first_sequence,
            .last_sequence = first_sequence - 1,
            .num_bytes = static_cast<int64_t>(contents.size())};
  absl::string_view rest = contents;
  while (const auto record = FindRecord(rest, file.last_sequence + 1, LastPossible(file))) {
    counts_.damaged_bytes += static_cast<int64_t>(record->skipped_bytes);
    rest.remove_prefix(record->skipped_bytes + sizeof(RecordHeader) + record->payload.size());
    file.last_sequence = record->sequence;
    ++file.num_records;
  }
  counts_.damaged_bytes += static_cast<int64_t>(rest.size());
  struct stat info {};
  if (file.num_records > 0 && stat(path.c_str(), &info) == 0) {
    marks_.push_back({first_sequence, absl::TimeFromTimespec(info.st_mtim)});
  }
  num_bytes_ += file.num_bytes;
  files_.push_back(file);
  return absl::OkStatus();
}

std::filesystem::path RecordSpool::PathOf(uint64_t first_sequence) const {
  return options_.folder / absl::StrFormat("%s%020d%s", kPrefix, first_sequence, kSuffix);
}

uint64_t RecordSpool::last_sequence() const {
  absl::MutexLock lock(&mutex_);
  return last_sequence_;
}

bool RecordSpool::WaitBeyond(uint64_t sequence, absl::Time deadline) const {
  absl::MutexLock lock(&mutex_);
  const auto beyond = [this, sequence]()
                          ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return last_sequence_ > sequence; };
  return mutex_.AwaitWithDeadline(absl::Condition(&beyond), deadline);
}

RecordSpool::Figures RecordSpool::figures() const {
  absl::MutexLock lock(&mutex_);
  Figures figures = counts_;
  figures.bytes = num_bytes_;
  for (const File& file : files_) {
    figures.records += PendingRecords(file);
  }
  if (figures.records > 0 && !marks_.empty()) {
    figures.oldest = marks_.front().time;
  }
  return figures;
}

int64_t RecordSpool::PendingRecords(const File& file) const {
  return file.last_sequence <= removed_through_
             ? 0
             : std::min(file.num_records, static_cast<int64_t>(file.last_sequence - removed_through_));
}

absl::Status RecordSpool::StartFile() {
  CloseFile();
  // One that never took a record has the same name.
  if (!files_.empty() && files_.back().first_sequence == next_sequence_) {
    num_bytes_ -= files_.back().num_bytes;
    files_.pop_back();
  }
  const std::filesystem::path path = PathOf(next_sequence_);
  descriptor_ = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0644);
  if (descriptor_ < 0) {
    return ErrnoToStatus(errno, "create", path);
  }
  files_.push_back({.first_sequence = next_sequence_, .last_sequence = next_sequence_ - 1});
  return absl::OkStatus();
}

void RecordSpool::CloseFile() {
  if (descriptor_ >= 0) {
    close(descriptor_);
    descriptor_ = -1;
  }
}

absl::StatusOr<uint64_t> RecordSpool::Append(absl::string_view payload) {
  absl::MutexLock lock(&mutex_);
  const uint64_t sequence = next_sequence_;
  const RecordHeader header{static_cast<uint32_t>(payload.size()), RecordCrc(sequence, payload), sequence};
  std::string record(reinterpret_cast<const char*>(&header), sizeof(header));
  record.append(payload.data(), payload.size());
  if (absl::Status status = Write(record); !status.ok()) {
    ++counts_.refused_records;
    return status;
  }
  ++next_sequence_;
  last_sequence_ = sequence;
  const absl::Time now = absl::Now();
  if (marks_.empty() || now - marks_.back().time >= kMarkInterval) {
    marks_.push_back({sequence, now});
  }
  return sequence;
}

absl::Status RecordSpool::MakeRoom(int64_t record_bytes) {
  while (num_bytes_ + record_bytes > options_.max_bytes) {
    if (options_.when_full == WhenFull::kRefuse || files_.size() < 2) {
      return absl::ResourceExhaustedError(absl::StrCat("the spool ", options_.folder.string(), " holds ",
                                                       num_bytes_, " bytes, at most ", options_.max_bytes,
                                                       " are allowed"));
    }
    const File dropped = files_.front();
    RETURN_IF_ERROR(RemoveFront());
    counts_.dropped_records += PendingRecords(dropped);
    Forget(dropped.last_sequence);
  }
  return absl::OkStatus();
}

absl::Status RecordSpool::Write(absl::string_view record) {
  const int64_t record_bytes = static_cast<int64_t>(record.size());
  if (options_.when_full == WhenFull::kRefuse) {
    RETURN_IF_ERROR(MakeRoom(record_bytes));
  }
  if (descriptor_ < 0 ||
      (files_.back().num_records > 0 && files_.back().num_bytes + record_bytes > options_.file_bytes)) {
    RETURN_IF_ERROR(StartFile());
  }
  RETURN_IF_ERROR(MakeRoom(record_bytes));
  File& file = files_.back();
  const ssize_t written = write(descriptor_, record.data(), record.size());
  if (written != record_bytes) {
    const int error_number = written < 0 ? errno : ENOSPC;
    // Takes a half-written record back, so that later ones stay readable.
    if (ftruncate(descriptor_, file.num_bytes) != 0) {
      CloseFile();
    }
    return ErrnoToStatus(error_number, "write", PathOf(file.first_sequence));
  }
  num_bytes_ += record_bytes;
  file.num_bytes += record_bytes;
  file.last_sequence = next_sequence_;
  ++file.num_records;
  return absl::OkStatus();
}

absl::Status RecordSpool::RemoveFront() {
  const std::filesystem::path path = PathOf(files_.front().first_sequence);
  if (unlink(path.c_str()) != 0 && errno != ENOENT) {
    return ErrnoToStatus(errno, "delete", path);
  }
  num_bytes_ -= files_.front().num_bytes;
  files_.pop_front();
  return absl::OkStatus();
}

void RecordSpool::Forget(uint64_t through) {
  removed_through_ = std::max(removed_through_, through);
  // The first one left is as old as the last mark that is not after it.
  while (!marks_.empty() && (last_sequence_ <= removed_through_ ||
                             (marks_.size() > 1 && marks_[1].sequence <= removed_through_ + 1))) {
    marks_.pop_front();
  }
}

absl::Status RecordSpool::RemoveThrough(uint64_t sequence) {
  absl::MutexLock lock(&mutex_);
  Forget(sequence);
  // An empty file stays where all are removed: its name tells the next process where sequences go on.
  if (!files_.empty() && files_.back().num_records > 0 && files_.back().last_sequence <= sequence) {
    RETURN_IF_ERROR(StartFile());
  }
  while (files_.size() > 1 && files_.front().last_sequence <= sequence) {
    RETURN_IF_ERROR(RemoveFront());
  }
  return absl::OkStatus();
}

std::optional<RecordSpool::Span> RecordSpool::FindFile(uint64_t first_sequence) const {
  absl::MutexLock lock(&mutex_);
  const auto found =
      std::lower_bound(files_.begin(), files_.end(), first_sequence,
                       [](const File& file, uint64_t sequence) { return file.first_sequence < sequence; });
  if (found == files_.end()) {
    return std::nullopt;
  }
  return Span{*found, found + 1 == files_.end()};
}

RecordSpool::Reader::~Reader() { CloseFile(); }

void RecordSpool::Reader::CloseFile() {
  if (descriptor_ >= 0) {
    close(descriptor_);
    descriptor_ = -1;
  }
}

absl::StatusOr<bool> RecordSpool::Reader::OpenFile(uint64_t first_sequence) {
  CloseFile();
  const std::filesystem::path path = spool_->PathOf(first_sequence);
  descriptor_ = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor_ < 0 && errno != ENOENT) {
    return ErrnoToStatus(errno, "open", path);
  }
  file_first_ = first_sequence;
  offset_ = 0;
  return descriptor_ >= 0;
}

absl::StatusOr<std::optional<RecordSpool::Record>> RecordSpool::Reader::Next() {
  while (const std::optional<Span> span = spool_->FindFile(file_first_)) {
    const File& file = span->file;
    bool readable = file.last_sequence > sequence_;
    if (readable && (descriptor_ < 0 || file.first_sequence != file_first_)) {
      ASSIGN_OR_RETURN(readable, OpenFile(file.first_sequence));
    }
    while (readable && offset_ < file.num_bytes) {
      absl::StatusOr<std::optional<Record>> record = ReadRecord(file.num_bytes);
      if (!record.ok()) {
        return record;
      }
      if (record->has_value() && (*record)->sequence > sequence_) {
        sequence_ = (*record)->sequence;
        return record;
      }
    }
    if (span->newest) {
      break;
    }
    CloseFile();
    file_first_ = file.first_sequence + 1;
  }
  return std::nullopt;
}

absl::StatusOr<std::optional<RecordSpool::Record>> RecordSpool::Reader::ReadRecord(int64_t num_bytes) {
  const int64_t left = num_bytes - offset_;
  RecordHeader header;
  RETURN_IF_ERROR(ReadAt(descriptor_, offset_, std::min<int64_t>(left, sizeof(header)), buffer_));
  if (buffer_.size() == sizeof(header)) {
    std::memcpy(&header, buffer_.data(), sizeof(header));
  }
  const int64_t record_bytes = static_cast<int64_t>(sizeof(header)) + header.payload_bytes;
  RETURN_IF_ERROR(ReadAt(descriptor_, offset_, std::min(left, record_bytes), buffer_));
  const uint64_t last = LastPossible({.first_sequence = file_first_, .num_bytes = num_bytes});
  std::optional<FoundRecord> found = ParseRecord(buffer_, file_first_, last);
  if (!found.has_value()) {
    // Damaged: the next whole one may begin anywhere.
    RETURN_IF_ERROR(ReadAt(descriptor_, offset_, left, buffer_));
    found = FindRecord(buffer_, file_first_, last);
  }
  if (!found.has_value()) {
    offset_ = num_bytes;
    return std::nullopt;
  }
  offset_ += static_cast<int64_t>(found->skipped_bytes + sizeof(header) + found->payload.size());
  return Record{found->sequence, std::string(found->payload)};
}

}  // namespace demorl
