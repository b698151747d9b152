#pragma once

#include <filesystem>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace demorl {

// Whole-file helpers. Errors name the path and the system's reason: NOT_FOUND, PERMISSION_DENIED (also for a
// read-only file system), RESOURCE_EXHAUSTED (disk full), INTERNAL for the rest.

absl::StatusOr<std::string> ReadFile(const std::filesystem::path& path);

// Writes to a temporary name, fsyncs, renames, fsyncs the folder: a reader sees the old file or the new one,
// also after a crash. Missing parent folders are an error.
absl::Status WriteFileAtomically(const std::filesystem::path& path, absl::string_view contents);

// Appends without fsync; creates the file if it is missing.
absl::Status AppendToFile(const std::filesystem::path& path, absl::string_view contents);

// Makes the entries of a folder durable.
absl::Status SyncFolder(const std::filesystem::path& folder);

// Creates the folder and its parents; no error if it exists.
absl::Status MakeFolders(const std::filesystem::path& folder);

// The status for `errno` after an operation on `path`: "cannot <verb> <path>: <reason>".
absl::Status ErrnoToStatus(int error_number, absl::string_view verb, const std::filesystem::path& path);

}  // namespace demorl
