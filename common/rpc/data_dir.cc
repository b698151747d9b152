#include "common/rpc/data_dir.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/base/file_io.h"
#include "common/base/status_macros.h"

namespace demorl {
namespace {

constexpr char kLockName[] = "lock";
constexpr char kStartCountName[] = "start_count";

// Opens and locks the file; it stays on disk afterwards, since removing it would let two processes lock two
// files.
absl::StatusOr<int> Lock(const std::filesystem::path& folder) {
  const std::filesystem::path path = folder / kLockName;
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (fd < 0) {
    return ErrnoToStatus(errno, "open", path);
  }
  if (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
    const int error = errno;
    char holder[32] = {};
    const ssize_t size = ::pread(fd, holder, sizeof(holder) - 1, 0);
    ::close(fd);
    if (error != EWOULDBLOCK) {
      return ErrnoToStatus(error, "lock", path);
    }
    return absl::FailedPreconditionError(
        absl::StrCat("data folder ", folder.string(), " is in use by process ",
                     size > 0 ? holder : "(unknown)", "; give each process its own folder"));
  }
  const std::string pid = absl::StrCat(::getpid());
  if (::ftruncate(fd, 0) != 0 || ::pwrite(fd, pid.data(), pid.size(), 0) < 0) {
    const int error = errno;
    ::close(fd);
    return ErrnoToStatus(error, "write", path);
  }
  return fd;
}

absl::StatusOr<uint64_t> CountStart(const std::filesystem::path& folder) {
  const std::filesystem::path path = folder / kStartCountName;
  uint64_t count = 0;
  absl::StatusOr<std::string> text = ReadFile(path);
  if (text.ok()) {
    if (!absl::SimpleAtoi(*text, &count)) {
      return absl::DataLossError(
          absl::StrCat(path.string(), " holds \"", text->substr(0, 40),
                       "\", expected the number of starts; writers would repeat an epoch"));
    }
  } else if (!absl::IsNotFound(text.status())) {
    return text.status();
  }
  ++count;
  RETURN_IF_ERROR(WriteFileAtomically(path, absl::StrCat(count, "\n")));
  return count;
}

}  // namespace

DataDir::DataDir(std::filesystem::path path, int lock_fd) : path_(std::move(path)), lock_fd_(lock_fd) {}

DataDir::~DataDir() { ::close(lock_fd_); }

absl::StatusOr<std::unique_ptr<DataDir>> DataDir::Open(const std::filesystem::path& path) {
  RETURN_IF_ERROR(MakeFolders(path));
  ASSIGN_OR_RETURN(const int lock_fd, Lock(path));
  std::unique_ptr<DataDir> data_dir(new DataDir(path, lock_fd));
  ASSIGN_OR_RETURN(data_dir->start_count_, CountStart(path));
  return data_dir;
}

}  // namespace demorl
