#include "common/robot/recording/tick_log.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/base/file_io.h"
#include "common/base/status_macros.h"

namespace demorl {
namespace {

constexpr int64_t kMinSlots = 16;

// Deletes the oldest logs until `num_kept` are left.
void RemoveOldStarts(const std::filesystem::path& folder, int num_kept) {
  std::error_code error;
  std::vector<std::pair<uint64_t, std::filesystem::path>> starts;
  for (std::filesystem::directory_iterator i(folder, error), end; !error && i != end; i.increment(error)) {
    uint64_t start_count = 0;
    if (absl::SimpleAtoi(i->path().filename().string(), &start_count) &&
        std::filesystem::exists(i->path() / kTickLogFileName, error)) {
      starts.emplace_back(start_count, i->path());
    }
  }
  std::sort(starts.begin(), starts.end());
  for (size_t i = 0; i + num_kept < starts.size(); ++i) {
    std::filesystem::remove_all(starts[i].second, error);
  }
}

// A file of `num_bytes` that the disk has room for.
absl::StatusOr<int> AllocateFile(const std::filesystem::path& path, int64_t num_bytes) {
  const int descriptor = open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (descriptor < 0) {
    return ErrnoToStatus(errno, "create", path);
  }
  if (const int error_number = posix_fallocate(descriptor, 0, num_bytes); error_number != 0) {
    close(descriptor);
    unlink(path.c_str());
    return ErrnoToStatus(error_number, absl::StrCat("reserve ", num_bytes, " bytes for"), path);
  }
  return descriptor;
}

}  // namespace

TickLog::TickLog(const Options& options, std::filesystem::path path, uint64_t num_slots, int descriptor)
    : path_(std::move(path)),
      packer_(options.header),
      num_slots_(num_slots),
      max_policies_(options.max_policies),
      descriptor_(descriptor) {}

TickLog::~TickLog() { close(descriptor_); }

absl::StatusOr<std::unique_ptr<TickLog>> TickLog::Create(const Options& options) {
  const auto slot_bytes = static_cast<int64_t>(TickPacker(options.header).slot_bytes());
  const int64_t num_slots = (options.max_bytes - kTickLogHeaderBytes) / slot_bytes;
  if (num_slots < kMinSlots) {
    return absl::InvalidArgumentError(
        absl::StrCat("a log of ticks of ", options.max_bytes, " bytes; want at least ",
                     kTickLogHeaderBytes + kMinSlots * slot_bytes, " for ", kMinSlots, " records"));
  }
  ASSIGN_OR_RETURN(const std::string header, EncodeTickLogHeader(options.header, num_slots));
  const std::filesystem::path folder = options.folder / absl::StrFormat("%08d", options.start_count);
  RETURN_IF_ERROR(MakeFolders(folder));
  RemoveOldStarts(options.folder, options.keep_starts - 1);
  RETURN_IF_ERROR(MakeFolders(folder));
  const std::filesystem::path path = folder / kTickLogFileName;
  ASSIGN_OR_RETURN(const int descriptor, AllocateFile(path, kTickLogHeaderBytes + num_slots * slot_bytes));
  std::unique_ptr<TickLog> log(new TickLog(options, path, num_slots, descriptor));
  if (pwrite(descriptor, header.data(), header.size(), 0) != static_cast<ssize_t>(header.size())) {
    return ErrnoToStatus(errno, "write", path);
  }
  return log;
}

absl::Status TickLog::Append(const TickRecord& record) {
  absl::MutexLock lock(&mutex_);
  const uint64_t number = last_number_ + 1;
  packer_.Pack(number, record, slot_);
  const auto offset = static_cast<int64_t>(kTickLogHeaderBytes + number % num_slots_ * slot_.size());
  if (pwrite(descriptor_, slot_.data(), slot_.size(), offset) != static_cast<ssize_t>(slot_.size())) {
    return ErrnoToStatus(errno, "write", path_);
  }
  last_number_ = number;
  MarkUsed(record);
  RemoveUnusedPolicies();
  return absl::OkStatus();
}

std::filesystem::path TickLog::PolicyPath(uint64_t version) const {
  return path_.parent_path() / absl::StrCat(version, ".safetensors");
}

absl::Status TickLog::KeepPolicy(uint64_t version, absl::string_view payload) {
  RETURN_IF_ERROR(WriteFileAtomically(PolicyPath(version), payload));
  absl::MutexLock lock(&mutex_);
  policies_.push_back({version, last_number_});
  RemoveUnusedPolicies();
  return absl::OkStatus();
}

void TickLog::MarkUsed(const TickRecord& record) {
  if (record.source != ActionSource::kPolicy) {
    return;
  }
  const auto used = std::find_if(policies_.rbegin(), policies_.rend(), [&](const KeptPolicy& policy) {
    return policy.version == record.policy_version;
  });
  if (used != policies_.rend()) {
    used->last_number = last_number_;
  }
}

// The newest stays: it may act next.
void TickLog::RemoveUnusedPolicies() {
  while (policies_.size() > 1 && (policies_.size() > static_cast<size_t>(max_policies_) ||
                                  policies_.front().last_number + num_slots_ <= last_number_)) {
    const uint64_t version = policies_.front().version;
    policies_.pop_front();
    const bool kept_again = std::any_of(policies_.begin(), policies_.end(),
                                        [&](const KeptPolicy& policy) { return policy.version == version; });
    if (!kept_again) {
      unlink(PolicyPath(version).c_str());
    }
  }
}

}  // namespace demorl
