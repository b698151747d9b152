#include "common/rpc/security/file_watch.h"

#include <sys/stat.h>

#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/clock.h"

namespace demorl {
namespace {

constexpr absl::Duration kPeriod = absl::Seconds(1);

std::string StateOf(const std::filesystem::path& path) {
  struct stat state = {};
  if (stat(path.c_str(), &state) != 0) {
    return absl::StrCat(path.string(), " absent\n");
  }
  // The time of the last change of the inode knows new modes and owners too, as that of the contents does
  // not.
  return absl::StrCat(path.string(), " ", state.st_ino, " ", state.st_size, " ", state.st_ctim.tv_sec, ".",
                      state.st_ctim.tv_nsec, "\n");
}

std::string StateOfAll(const std::filesystem::path& path) {
  std::error_code error;
  std::string state = StateOf(path);
  std::set<std::filesystem::path> entries;
  for (const auto& entry : std::filesystem::directory_iterator(path, error)) {
    entries.insert(entry.path());
  }
  for (const std::filesystem::path& entry : entries) {
    state += StateOf(entry);
  }
  return state;
}

}  // namespace

bool FileWatch::Changed() {
  const absl::Duration now = RealClock::Get().Now();
  if (looked_ && now < next_look_) {
    return false;
  }
  next_look_ = now + kPeriod;
  std::string state = StateOfAll(path_);
  const bool is_new = !looked_ || state != seen_;
  looked_ = true;
  seen_ = std::move(state);
  if (is_new) {
    is_failure_known_ = false;
  }
  return std::exchange(has_failed_, false) || is_new;
}

bool FileWatch::NoteFailure() {
  has_failed_ = true;
  return !std::exchange(is_failure_known_, true);
}

}  // namespace demorl
