#include "common/base/checkpoint_store.h"

#include <algorithm>
#include <functional>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "common/base/crc32c.h"
#include "common/base/file_io.h"
#include "common/base/status_macros.h"

namespace demorl {
namespace {

namespace fs = std::filesystem;

constexpr char kManifest[] = "MANIFEST";
constexpr char kDone[] = "DONE";

std::string MakeManifest(const CheckpointFiles& files) {
  std::string manifest;
  for (const auto& [name, contents] : files) {
    absl::StrAppendFormat(&manifest, "%08x %d %s\n", Crc32c(contents), contents.size(), name);
  }
  return manifest;
}

}  // namespace

fs::path CheckpointStore::Folder(int64_t step) const { return root_ / absl::StrFormat("%010d", step); }

std::vector<int64_t> CheckpointStore::Steps() const {
  std::vector<int64_t> steps;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(root_, error)) {
    int64_t step = 0;
    if (absl::SimpleAtoi(entry.path().filename().string(), &step) && fs::exists(entry.path() / kDone)) {
      steps.push_back(step);
    }
  }
  std::sort(steps.begin(), steps.end(), std::greater<>());
  return steps;
}

absl::StatusOr<fs::path> CheckpointStore::Write(int64_t step, const CheckpointFiles& files) const {
  RETURN_IF_ERROR(MakeFolders(root_));
  const fs::path folder = Folder(step);
  const fs::path temporary = folder.string() + ".tmp";
  std::error_code ignored;
  fs::remove_all(temporary, ignored);
  RETURN_IF_ERROR(MakeFolders(temporary));
  absl::Status status;
  for (const auto& [name, contents] : files) {
    status.Update(WriteFileAtomically(temporary / name, contents));
  }
  status.Update(WriteFileAtomically(temporary / kManifest, MakeManifest(files)));
  status.Update(WriteFileAtomically(temporary / kDone, ""));
  if (!status.ok()) {
    fs::remove_all(temporary, ignored);
    return status;
  }
  fs::remove_all(folder, ignored);
  std::error_code error;
  fs::rename(temporary, folder, error);
  if (error) {
    return ErrnoToStatus(error.value(), "rename", temporary);
  }
  RETURN_IF_ERROR(SyncFolder(root_));
  RemoveOld();
  return folder;
}

void CheckpointStore::RemoveOld() const {
  const std::vector<int64_t> steps = Steps();
  for (size_t i = static_cast<size_t>(keep_); i < steps.size(); ++i) {
    std::error_code ignored;
    fs::remove_all(Folder(steps[i]), ignored);
  }
}

absl::StatusOr<CheckpointFiles> CheckpointStore::Load(int64_t step) const {
  const fs::path folder = Folder(step);
  ASSIGN_OR_RETURN(const std::string manifest, ReadFile(folder / kManifest));
  CheckpointFiles files;
  for (const absl::string_view line : absl::StrSplit(manifest, '\n', absl::SkipEmpty())) {
    const std::vector<std::string> fields = absl::StrSplit(line, absl::MaxSplits(' ', 2));
    if (fields.size() != 3 || fields[2].find('/') != std::string::npos) {
      return absl::DataLossError(absl::StrCat(folder.string(), "/", kManifest, " is damaged: '", line, "'"));
    }
    ASSIGN_OR_RETURN(std::string contents, ReadFile(folder / fields[2]));
    if (absl::StrFormat("%08x", Crc32c(contents)) != fields[0] ||
        absl::StrCat(contents.size()) != fields[1]) {
      return absl::DataLossError(absl::StrCat(folder.string(), "/", fields[2],
                                              " is damaged: its checksum or size differs from ", kManifest));
    }
    files[fields[2]] = std::move(contents);
  }
  return files;
}

absl::StatusOr<LoadedCheckpoint> CheckpointStore::LoadNewest() const {
  LoadedCheckpoint checkpoint;
  for (const int64_t step : Steps()) {
    absl::StatusOr<CheckpointFiles> files = Load(step);
    if (files.ok()) {
      checkpoint.step = step;
      checkpoint.files = *std::move(files);
      return checkpoint;
    }
    checkpoint.skipped.emplace_back(files.status().message());
  }
  if (!checkpoint.skipped.empty()) {
    return absl::DataLossError(checkpoint.skipped.front());
  }
  return absl::NotFoundError(absl::StrCat("no checkpoint under ", root_.string()));
}

}  // namespace demorl
