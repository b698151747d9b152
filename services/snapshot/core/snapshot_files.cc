#include "services/snapshot/core/snapshot_files.h"

#include <set>
#include <string>
#include <system_error>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/base/file_io.h"
#include "common/base/status_macros.h"
#include "nlohmann/json.hpp"

namespace demorl {
namespace {

constexpr char kPinsName[] = "pins.json";
constexpr char kDamagedName[] = "damaged";

std::string FileStem(uint64_t version) { return absl::StrFormat("%010d", version); }

// The versions that files of the folder carry in their names.
absl::StatusOr<std::set<uint64_t>> VersionsIn(const std::filesystem::path& folder) {
  std::set<uint64_t> versions;
  std::error_code error;
  for (std::filesystem::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    uint64_t version = 0;
    const std::filesystem::path& path = it->path();
    const bool is_ours = path.extension() == ".json" || path.extension() == ".safetensors";
    if (is_ours && absl::SimpleAtoi(path.stem().string(), &version)) {
      versions.insert(version);
    }
  }
  if (error) {
    return ErrnoToStatus(error.value(), "list", folder);
  }
  return versions;
}

}  // namespace

std::filesystem::path SnapshotFiles::KindFolder(SnapshotKind kind) const {
  return folder_ / std::string(SnapshotKindName(kind));
}

std::filesystem::path SnapshotFiles::PayloadPath(SnapshotKind kind, uint64_t version) const {
  return KindFolder(kind) / (FileStem(version) + ".safetensors");
}

std::filesystem::path SnapshotFiles::InfoPath(SnapshotKind kind, uint64_t version) const {
  return KindFolder(kind) / (FileStem(version) + ".json");
}

absl::Status SnapshotFiles::Prepare() {
  for (const SnapshotKind kind : kAllSnapshotKinds) {
    RETURN_IF_ERROR(MakeFolders(KindFolder(kind)));
  }
  return SyncFolder(folder_);
}

absl::StatusOr<SnapshotFiles::Loaded> SnapshotFiles::Load(SnapshotKind kind) {
  Loaded loaded;
  ASSIGN_OR_RETURN(const std::set<uint64_t> versions, VersionsIn(KindFolder(kind)));
  const std::filesystem::path damaged_folder = KindFolder(kind) / kDamagedName;
  if (std::filesystem::is_directory(damaged_folder)) {
    ASSIGN_OR_RETURN(const std::set<uint64_t> damaged, VersionsIn(damaged_folder));
    loaded.highest_version = damaged.empty() ? 0 : *damaged.rbegin();
  }
  for (const uint64_t version : versions) {
    loaded.highest_version = std::max(loaded.highest_version, version);
    absl::StatusOr<std::shared_ptr<const StoredSnapshot>> snapshot = Read(kind, version);
    if (snapshot.ok()) {
      loaded.snapshots[version] = *std::move(snapshot);
      continue;
    }
    if (!absl::IsNotFound(snapshot.status()) && !absl::IsDataLoss(snapshot.status())) {
      return snapshot.status();
    }
    const bool was_acknowledged = std::filesystem::exists(InfoPath(kind, version));
    if (was_acknowledged) {
      loaded.damaged.push_back(
          absl::StrCat(SnapshotKindName(kind), " version ", version, ": ", snapshot.status().message()));
    }
    RETURN_IF_ERROR(SetAside(kind, version));
  }
  return loaded;
}

absl::Status SnapshotFiles::SetAside(SnapshotKind kind, uint64_t version) {
  const std::filesystem::path damaged_folder = KindFolder(kind) / kDamagedName;
  RETURN_IF_ERROR(MakeFolders(damaged_folder));
  for (const std::filesystem::path& path : {InfoPath(kind, version), PayloadPath(kind, version)}) {
    std::error_code error;
    std::filesystem::rename(path, damaged_folder / path.filename(), error);
    if (error && error != std::errc::no_such_file_or_directory) {
      return ErrnoToStatus(error.value(), "set aside", path);
    }
  }
  RETURN_IF_ERROR(SyncFolder(damaged_folder));
  return SyncFolder(KindFolder(kind));
}

absl::Status SnapshotFiles::Write(const StoredSnapshot& snapshot) {
  const SnapshotInfo& info = snapshot.info;
  RETURN_IF_ERROR(WriteFileAtomically(PayloadPath(info.kind, info.version), snapshot.payload));
  const absl::Status status =
      WriteFileAtomically(InfoPath(info.kind, info.version), EncodeSnapshotInfo(info));
  if (!status.ok()) {
    Remove(info.kind, info.version);
  }
  return status;
}

absl::StatusOr<std::shared_ptr<const StoredSnapshot>> SnapshotFiles::Read(SnapshotKind kind,
                                                                          uint64_t version) const {
  auto snapshot = std::make_shared<StoredSnapshot>();
  ASSIGN_OR_RETURN(const std::string text, ReadFile(InfoPath(kind, version)));
  ASSIGN_OR_RETURN(snapshot->info, DecodeSnapshotInfo(text));
  if (snapshot->info.kind != kind || snapshot->info.version != version) {
    return absl::DataLossError(absl::StrCat("the metadata is of ", SnapshotKindName(snapshot->info.kind),
                                            " version ", snapshot->info.version));
  }
  ASSIGN_OR_RETURN(snapshot->payload, ReadFile(PayloadPath(kind, version)));
  RETURN_IF_ERROR(CheckPayload(snapshot->info, snapshot->payload));
  return snapshot;
}

void SnapshotFiles::Remove(SnapshotKind kind, uint64_t version) {
  std::error_code ignored;
  std::filesystem::remove(InfoPath(kind, version), ignored);
  std::filesystem::remove(PayloadPath(kind, version), ignored);
}

absl::StatusOr<std::map<SnapshotKind, uint64_t>> SnapshotFiles::ReadPins() const {
  const std::filesystem::path path = folder_ / kPinsName;
  absl::StatusOr<std::string> text = ReadFile(path);
  std::map<SnapshotKind, uint64_t> pins;
  if (absl::IsNotFound(text.status())) {
    return pins;
  }
  RETURN_IF_ERROR(text.status());
  try {
    const nlohmann::json json = nlohmann::json::parse(*text);
    for (const SnapshotKind kind : kAllSnapshotKinds) {
      if (const std::string name(SnapshotKindName(kind)); json.contains(name)) {
        pins[kind] = json.at(name).get<uint64_t>();
      }
    }
    return pins;
  } catch (const nlohmann::json::exception& error) {
    return absl::DataLossError(absl::StrCat(path.string(), " is damaged (", error.what(),
                                            "); remove it to serve the newest versions, then pin again"));
  }
}

absl::Status SnapshotFiles::WritePins(const std::map<SnapshotKind, uint64_t>& pins) {
  nlohmann::json json = nlohmann::json::object();
  for (const auto& [kind, version] : pins) {
    json[std::string(SnapshotKindName(kind))] = version;
  }
  return WriteFileAtomically(folder_ / kPinsName, json.dump(2) + "\n");
}

}  // namespace demorl
