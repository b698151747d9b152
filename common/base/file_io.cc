#include "common/base/file_io.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"

namespace demorl {
namespace {

// Closes on scope exit; `Close` reports the error that the destructor cannot.
class FileDescriptor {
 public:
  explicit FileDescriptor(int fd) : fd_(fd) {}
  FileDescriptor(const FileDescriptor&) = delete;
  FileDescriptor& operator=(const FileDescriptor&) = delete;
  ~FileDescriptor() {
    if (fd_ >= 0) {
      ::close(fd_);
    }
  }

  int get() const { return fd_; }
  int Close() { return ::close(std::exchange(fd_, -1)); }

 private:
  int fd_;
};

absl::Status WriteAll(int fd, absl::string_view contents, const std::filesystem::path& path) {
  while (!contents.empty()) {
    const ssize_t written = ::write(fd, contents.data(), contents.size());
    if (written < 0) {
      if (errno == EINTR) {
        continue;
      }
      return ErrnoToStatus(errno, "write", path);
    }
    contents.remove_prefix(static_cast<size_t>(written));
  }
  return absl::OkStatus();
}

absl::Status WriteAndSync(const std::filesystem::path& path, absl::string_view contents) {
  FileDescriptor file(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  if (file.get() < 0) {
    return ErrnoToStatus(errno, "create", path);
  }
  RETURN_IF_ERROR(WriteAll(file.get(), contents, path));
  if (::fsync(file.get()) != 0) {
    return ErrnoToStatus(errno, "sync", path);
  }
  if (file.Close() != 0) {
    return ErrnoToStatus(errno, "close", path);
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status ErrnoToStatus(int error_number, absl::string_view verb, const std::filesystem::path& path) {
  const std::string message =
      absl::StrCat("cannot ", verb, " ", path.string(), ": ", std::generic_category().message(error_number));
  switch (error_number) {
    case ENOENT:
    case ENOTDIR:
      return absl::NotFoundError(message);
    case EACCES:
    case EPERM:
    case EROFS:
      return absl::PermissionDeniedError(message);
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
      return absl::ResourceExhaustedError(message);
    default:
      return absl::InternalError(message);
  }
}

absl::StatusOr<std::string> ReadFile(const std::filesystem::path& path) {
  FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.get() < 0) {
    return ErrnoToStatus(errno, "open", path);
  }
  std::string contents;
  char buffer[1 << 16];
  while (true) {
    const ssize_t count = ::read(file.get(), buffer, sizeof(buffer));
    if (count == 0) {
      return contents;
    }
    if (count < 0) {
      if (errno == EINTR) {
        continue;
      }
      return ErrnoToStatus(errno, "read", path);
    }
    contents.append(buffer, static_cast<size_t>(count));
  }
}

absl::Status WriteFileAtomically(const std::filesystem::path& path, absl::string_view contents) {
  const std::filesystem::path temporary = path.string() + ".tmp";
  if (absl::Status status = WriteAndSync(temporary, contents); !status.ok()) {
    ::unlink(temporary.c_str());
    return status;
  }
  if (::rename(temporary.c_str(), path.c_str()) != 0) {
    return ErrnoToStatus(errno, "replace", path);
  }
  return SyncFolder(path.has_parent_path() ? path.parent_path() : std::filesystem::path("."));
}

absl::Status AppendToFile(const std::filesystem::path& path, absl::string_view contents) {
  FileDescriptor file(::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644));
  if (file.get() < 0) {
    return ErrnoToStatus(errno, "open", path);
  }
  RETURN_IF_ERROR(WriteAll(file.get(), contents, path));
  if (file.Close() != 0) {
    return ErrnoToStatus(errno, "close", path);
  }
  return absl::OkStatus();
}

absl::Status SyncFolder(const std::filesystem::path& folder) {
  FileDescriptor directory(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (directory.get() < 0) {
    return ErrnoToStatus(errno, "open", folder);
  }
  if (::fsync(directory.get()) != 0) {
    return ErrnoToStatus(errno, "sync", folder);
  }
  return absl::OkStatus();
}

absl::Status MakeFolders(const std::filesystem::path& folder) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) {
    return ErrnoToStatus(error.value(), "create folder", folder);
  }
  return absl::OkStatus();
}

}  // namespace demorl
