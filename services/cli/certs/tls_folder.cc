#include "services/cli/certs/tls_folder.h"

#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/file_io.h"
#include "common/base/status_macros.h"

namespace demorl {
namespace {

namespace fs = std::filesystem;

constexpr char kData[] = "..data";
constexpr std::array<const char*, 3> kNames = {"tls.crt", "tls.key", "ca.crt"};

absl::Status WithError(const std::error_code& error, const fs::path& path) {
  return error ? absl::InternalError(absl::StrCat(path.string(), ": ", error.message())) : absl::OkStatus();
}

absl::Status CheckNames(const fs::path& folder) {
  for (const char* name : kNames) {
    if (fs::exists(fs::symlink_status(folder / name)) && !fs::is_symlink(folder / name)) {
      return absl::FailedPreconditionError(absl::StrCat(
          (folder / name).string(), " is a file that was not put there by `demorl certs`; want an empty ",
          "folder or one of its own"));
    }
  }
  return absl::OkStatus();
}

// A number that the folder does not use yet.
fs::path NewDataFolder(const fs::path& folder) {
  int number = 1;
  while (fs::exists(folder / absl::StrCat(kData, "_", number))) {
    ++number;
  }
  return absl::StrCat(kData, "_", number);
}

// Root's files would be of no use to the service whose folder it is.
absl::Status GiveToOwnerOf(const fs::path& folder, const fs::path& data) {
  struct stat owner = {};
  if (::stat(folder.c_str(), &owner) != 0) {
    return ErrnoToStatus(errno, "look at", folder);
  }
  if (::geteuid() != 0 || owner.st_uid == 0) {
    return absl::OkStatus();
  }
  for (const fs::path& path : {data, data / kNames[0], data / kNames[1], data / kNames[2]}) {
    if (::chown(path.c_str(), owner.st_uid, owner.st_gid) != 0) {
      return ErrnoToStatus(errno, "give away", path);
    }
  }
  return absl::OkStatus();
}

absl::Status Link(const fs::path& target, const fs::path& path) {
  std::error_code error;
  fs::create_symlink(target, path, error);
  return WithError(error, path);
}

}  // namespace

absl::Status ReplaceTlsFiles(const fs::path& folder, const TlsFiles& files) {
  RETURN_IF_ERROR(MakeFolders(folder));
  RETURN_IF_ERROR(CheckNames(folder));
  const fs::path data = NewDataFolder(folder);
  RETURN_IF_ERROR(MakeFolders(folder / data));
  const mode_t before = umask(077);
  const absl::Status key = WriteFileAtomically(folder / data / "tls.key", files.key);
  umask(before);
  RETURN_IF_ERROR(key);
  RETURN_IF_ERROR(WriteFileAtomically(folder / data / "tls.crt", files.certificate));
  RETURN_IF_ERROR(WriteFileAtomically(folder / data / "ca.crt", files.authorities));
  RETURN_IF_ERROR(GiveToOwnerOf(folder, folder / data));
  std::error_code error;
  const fs::path old = fs::read_symlink(folder / kData, error);
  RETURN_IF_ERROR(Link(data, folder / absl::StrCat(kData, "_next")));
  fs::rename(folder / absl::StrCat(kData, "_next"), folder / kData, error);
  RETURN_IF_ERROR(WithError(error, folder / kData));
  for (const char* name : kNames) {
    if (!fs::is_symlink(folder / name)) {
      RETURN_IF_ERROR(Link(fs::path(kData) / name, folder / name));
    }
  }
  if (!old.empty()) {
    fs::remove_all(folder / old, error);
  }
  return SyncFolder(folder);
}

}  // namespace demorl
