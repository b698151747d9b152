#include "services/snapshot/core/snapshot_store.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/base/status_macros.h"
#include "common/policy/safetensors.h"

namespace demorl {
namespace {

// Failed writes in a row after which the store reports trouble.
constexpr int kMaxFailedWrites = 3;

std::string Name(SnapshotKind kind) { return std::string(SnapshotKindName(kind)); }

absl::Status NotFound(SnapshotKind kind, uint64_t version, const std::string& stored) {
  return absl::NotFoundError(
      version == 0
          ? absl::StrCat("no ", SnapshotKindName(kind), " snapshot is stored yet")
          : absl::StrCat("no ", SnapshotKindName(kind), " version ", version, "; stored are ", stored));
}

}  // namespace

std::shared_ptr<const StoredSnapshot> SnapshotSubscription::Take() {
  absl::MutexLock lock(&mutex_);
  return std::exchange(slot_, nullptr);
}

bool SnapshotSubscription::Offer(std::shared_ptr<const StoredSnapshot> snapshot) {
  absl::MutexLock lock(&mutex_);
  if (snapshot->info.version == last_version_) {
    return false;
  }
  last_version_ = snapshot->info.version;
  slot_ = std::move(snapshot);
  return true;
}

SnapshotStore::SnapshotStore(Options options) : options_(std::move(options)), metrics_(options_.metrics) {}

absl::StatusOr<std::unique_ptr<SnapshotStore>> SnapshotStore::Open(Options options) {
  DEMORL_CHECK(options.metrics != nullptr && options.now_us != nullptr && options.keep_versions >= 1);
  std::unique_ptr<SnapshotStore> store(new SnapshotStore(std::move(options)));
  if (!store->options_.data_dir.empty()) {
    store->files_.emplace(store->options_.data_dir);
    RETURN_IF_ERROR(store->files_->Prepare());
    RETURN_IF_ERROR(store->Reload());
  }
  return store;
}

absl::Status SnapshotStore::Reload() {
  ASSIGN_OR_RETURN(const auto pins, files_->ReadPins());
  for (const SnapshotKind kind : kAllSnapshotKinds) {
    ASSIGN_OR_RETURN(SnapshotFiles::Loaded loaded, files_->Load(kind));
    metrics_.Damaged(Name(kind)).Increment(static_cast<double>(loaded.damaged.size()));
    damaged_.insert(damaged_.end(), loaded.damaged.begin(), loaded.damaged.end());
    absl::MutexLock lock(&mutex_);
    Kind& state = kinds_[kind];
    state.highest_version = loaded.highest_version;
    for (auto& [version, snapshot] : loaded.snapshots) {
      if (absl::Status status = CheckRun(snapshot->info.run_id); !status.ok()) {
        return absl::FailedPreconditionError(absl::StrCat("the folder ", options_.data_dir.string(),
                                                          " belongs to another run: ", status.message()));
      }
      state.entries[version] = {.info = snapshot->info, .loaded = snapshot};
    }
    if (const auto pin = pins.find(kind); pin != pins.end()) {
      // In place of a pinned version that is damaged, the next older one serves, then the newest.
      auto after = state.entries.upper_bound(pin->second);
      if (after != state.entries.begin()) {
        state.pinned = std::prev(after)->first;
      }
    }
    Prune(state);
    if (const Entry* current = CurrentEntry(kind); current != nullptr) {
      metrics_.CurrentVersion(Name(kind)).Set(static_cast<double>(current->info.version));
    }
  }
  return absl::OkStatus();
}

absl::Status SnapshotStore::CheckRun(const std::string& run_id) const {
  if (options_.run_id.empty() || run_id.empty() || run_id == options_.run_id) {
    return absl::OkStatus();
  }
  return absl::FailedPreconditionError(absl::StrCat("the snapshots are of run \"", options_.run_id,
                                                    "\", the caller is of run \"", run_id, "\""));
}

void SnapshotStore::Refuse(SnapshotKind kind, const char* reason) {
  metrics_.Refused(Name(kind), reason).Increment();
}

absl::Status SnapshotStore::Check(const SnapshotInfo& info, const std::string& payload) {
  if (absl::Status status = CheckRun(info.run_id); !status.ok()) {
    Refuse(info.kind, "run");
    return status;
  }
  if (absl::Status status = CheckPayload(info, payload); !status.ok()) {
    Refuse(info.kind, "digest");
    return status;
  }
  const absl::StatusOr<TensorFile> file = DecodeSafetensors(payload);
  if (!file.ok()) {
    Refuse(info.kind, "malformed");
    return absl::InvalidArgumentError(
        absl::StrCat("the payload is no safetensors file: ", file.status().message()));
  }
  if (absl::Status status = CheckFinite(*file); !status.ok()) {
    Refuse(info.kind, "non_finite");
    return status;
  }
  if (info.evaluation_return.has_value() && !std::isfinite(*info.evaluation_return)) {
    Refuse(info.kind, "non_finite");
    return absl::InvalidArgumentError("evaluation_return is not finite; leave it out when it is not known");
  }
  return absl::OkStatus();
}

absl::Status SnapshotStore::CheckAgainstPrevious(const SnapshotInfo& info) const {
  absl::MutexLock lock(&mutex_);
  const auto kind = kinds_.find(info.kind);
  if (kind == kinds_.end() || kind->second.entries.empty()) {
    return absl::OkStatus();
  }
  const SnapshotInfo& previous = kind->second.entries.rbegin()->second.info;
  const auto differ = [&](const char* what, const std::string& before, const std::string& now) {
    return absl::InvalidArgumentError(absl::StrCat(what, " is ", now, ", but ", before, " in ",
                                                   SnapshotKindName(info.kind), " version ",
                                                   previous.version));
  };
  if (!info.schema_hash.empty() && !previous.schema_hash.empty() &&
      info.schema_hash != previous.schema_hash) {
    return differ("schema_hash", previous.schema_hash, info.schema_hash);
  }
  if (info.observation_size != previous.observation_size) {
    return differ("observation_size", absl::StrCat(previous.observation_size),
                  absl::StrCat(info.observation_size));
  }
  if (info.action_size != previous.action_size) {
    return differ("action_size", absl::StrCat(previous.action_size), absl::StrCat(info.action_size));
  }
  return absl::OkStatus();
}

absl::StatusOr<uint64_t> SnapshotStore::Publish(SnapshotInfo info, std::string payload) {
  RETURN_IF_ERROR(Check(info, payload));
  const SnapshotKind kind = info.kind;
  uint64_t version = 0;
  {
    absl::MutexLock write_lock(&write_mutex_);
    if (absl::Status status = CheckAgainstPrevious(info); !status.ok()) {
      Refuse(kind, "mismatch");
      return status;
    }
    {
      absl::MutexLock lock(&mutex_);
      version = kinds_[kind].highest_version + 1;
    }
    info.version = version;
    info.create_time_us = options_.now_us();
    auto snapshot = std::make_shared<StoredSnapshot>();
    snapshot->info = std::move(info);
    snapshot->payload = std::move(payload);
    RETURN_IF_ERROR(Store(*snapshot));
    Insert(std::move(snapshot));
  }
  metrics_.Published(Name(kind)).Increment();
  OfferCurrent(kind);
  return version;
}

absl::Status SnapshotStore::Store(const StoredSnapshot& snapshot) {
  const absl::Status status = files_.has_value() ? files_->Write(snapshot) : absl::OkStatus();
  absl::MutexLock lock(&mutex_);
  failed_writes_ = status.ok() ? 0 : failed_writes_ + 1;
  if (!status.ok()) {
    last_failure_ = std::string(status.message());
    Refuse(snapshot.info.kind, "storage");
  }
  return status;
}

void SnapshotStore::Insert(std::shared_ptr<const StoredSnapshot> snapshot) {
  const SnapshotKind kind = snapshot->info.kind;
  const uint64_t version = snapshot->info.version;
  std::vector<uint64_t> pruned;
  {
    absl::MutexLock lock(&mutex_);
    Kind& state = kinds_[kind];
    state.highest_version = version;
    state.entries[version] = {.info = snapshot->info, .loaded = std::move(snapshot)};
    pruned = Prune(state);
  }
  if (files_.has_value()) {
    for (const uint64_t old : pruned) {
      files_->Remove(kind, old);
    }
  }
}

std::vector<uint64_t> SnapshotStore::Prune(Kind& kind) {
  std::vector<uint64_t> pruned;
  int kept = 0;
  for (auto it = kind.entries.rbegin(); it != kind.entries.rend(); ++it) {
    const bool is_pinned = kind.pinned == it->first;
    const bool is_newest = it == kind.entries.rbegin();
    if (!is_pinned && ++kept > options_.keep_versions) {
      pruned.push_back(it->first);
    } else if (files_.has_value() && !is_pinned && !is_newest) {
      it->second.loaded = nullptr;
    }
  }
  for (const uint64_t version : pruned) {
    kind.entries.erase(version);
  }
  return pruned;
}

const SnapshotStore::Entry* SnapshotStore::CurrentEntry(SnapshotKind kind) const {
  const auto found = kinds_.find(kind);
  if (found == kinds_.end() || found->second.entries.empty()) {
    return nullptr;
  }
  const Kind& state = found->second;
  if (state.pinned.has_value()) {
    return &state.entries.at(*state.pinned);
  }
  return &state.entries.rbegin()->second;
}

std::shared_ptr<const StoredSnapshot> SnapshotStore::Current(SnapshotKind kind) const {
  absl::MutexLock lock(&mutex_);
  const Entry* entry = CurrentEntry(kind);
  return entry == nullptr ? nullptr : entry->loaded;
}

absl::StatusOr<std::shared_ptr<const StoredSnapshot>> SnapshotStore::Get(SnapshotKind kind,
                                                                         uint64_t version) const {
  if (version == 0) {
    std::shared_ptr<const StoredSnapshot> current = Current(kind);
    if (current == nullptr) {
      return NotFound(kind, 0, "");
    }
    return current;
  }
  return Load(kind, version);
}

absl::StatusOr<std::shared_ptr<const StoredSnapshot>> SnapshotStore::Load(SnapshotKind kind,
                                                                          uint64_t version) const {
  {
    absl::MutexLock lock(&mutex_);
    const auto state = kinds_.find(kind);
    if (state == kinds_.end() || state->second.entries.empty()) {
      return NotFound(kind, 0, "");
    }
    const auto& entries = state->second.entries;
    const auto entry = entries.find(version);
    if (entry == entries.end()) {
      return NotFound(kind, version, absl::StrCat(entries.begin()->first, " to ", entries.rbegin()->first));
    }
    if (entry->second.loaded != nullptr) {
      return entry->second.loaded;
    }
  }
  return files_->Read(kind, version);
}

std::vector<SnapshotInfo> SnapshotStore::List(std::optional<SnapshotKind> kind, size_t max_results) const {
  std::vector<SnapshotInfo> infos;
  absl::MutexLock lock(&mutex_);
  for (const auto& [each_kind, state] : kinds_) {
    if (kind.has_value() && kind != each_kind) {
      continue;
    }
    for (auto it = state.entries.rbegin(); it != state.entries.rend(); ++it) {
      if (max_results != 0 && infos.size() >= max_results) {
        return infos;
      }
      infos.push_back(it->second.info);
    }
  }
  return infos;
}

std::map<SnapshotKind, uint64_t> SnapshotStore::Pinned() const {
  std::map<SnapshotKind, uint64_t> pinned;
  absl::MutexLock lock(&mutex_);
  for (const auto& [kind, state] : kinds_) {
    if (state.pinned.has_value()) {
      pinned[kind] = *state.pinned;
    }
  }
  return pinned;
}

absl::Status SnapshotStore::SetPin(SnapshotKind kind, std::optional<uint64_t> version) {
  // A pinned version may have left memory; watchers receive it from there.
  std::shared_ptr<const StoredSnapshot> loaded;
  if (version.has_value()) {
    ASSIGN_OR_RETURN(loaded, Load(kind, *version));
  }
  std::map<SnapshotKind, uint64_t> pins = Pinned();
  version.has_value() ? static_cast<void>(pins[kind] = *version) : static_cast<void>(pins.erase(kind));
  if (files_.has_value()) {
    RETURN_IF_ERROR(files_->WritePins(pins));
  }
  std::vector<uint64_t> pruned;
  {
    absl::MutexLock lock(&mutex_);
    Kind& state = kinds_[kind];
    state.pinned = version;
    if (version.has_value()) {
      state.entries.at(*version).loaded = std::move(loaded);
    }
    pruned = Prune(state);
  }
  if (files_.has_value()) {
    for (const uint64_t old : pruned) {
      files_->Remove(kind, old);
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<SnapshotInfo> SnapshotStore::Pin(const std::string& run_id, SnapshotKind kind,
                                                uint64_t version) {
  RETURN_IF_ERROR(CheckRun(run_id));
  {
    absl::MutexLock write_lock(&write_mutex_);
    RETURN_IF_ERROR(SetPin(kind, version));
  }
  OfferCurrent(kind);
  ASSIGN_OR_RETURN(const std::shared_ptr<const StoredSnapshot> current, Get(kind, 0));
  return current->info;
}

absl::StatusOr<std::optional<SnapshotInfo>> SnapshotStore::Unpin(const std::string& run_id,
                                                                 SnapshotKind kind) {
  RETURN_IF_ERROR(CheckRun(run_id));
  {
    absl::MutexLock write_lock(&write_mutex_);
    RETURN_IF_ERROR(SetPin(kind, std::nullopt));
  }
  OfferCurrent(kind);
  const std::shared_ptr<const StoredSnapshot> current = Current(kind);
  return current == nullptr ? std::nullopt : std::optional<SnapshotInfo>(current->info);
}

std::shared_ptr<SnapshotSubscription> SnapshotStore::Subscribe(SnapshotKind kind, uint64_t known_version,
                                                               std::function<void()> on_new) {
  auto subscription = std::make_shared<SnapshotSubscription>(kind, known_version, std::move(on_new));
  absl::MutexLock lock(&mutex_);
  std::erase_if(subscriptions_, [](const auto& each) { return each.expired(); });
  subscriptions_.push_back(subscription);
  if (const Entry* current = CurrentEntry(kind); current != nullptr) {
    subscription->Offer(current->loaded);
  }
  return subscription;
}

void SnapshotStore::OfferCurrent(SnapshotKind kind) {
  std::vector<std::shared_ptr<SnapshotSubscription>> offered;
  {
    absl::MutexLock lock(&mutex_);
    const Entry* current = CurrentEntry(kind);
    if (current == nullptr) {
      return;
    }
    metrics_.CurrentVersion(Name(kind)).Set(static_cast<double>(current->info.version));
    for (const auto& each : subscriptions_) {
      std::shared_ptr<SnapshotSubscription> subscription = each.lock();
      if (subscription != nullptr && subscription->kind_ == kind && subscription->Offer(current->loaded)) {
        offered.push_back(std::move(subscription));
      }
    }
  }
  for (const auto& subscription : offered) {
    subscription->on_new_();
  }
}

std::string SnapshotStore::StorageTrouble() const {
  absl::MutexLock lock(&mutex_);
  return failed_writes_ < kMaxFailedWrites
             ? ""
             : absl::StrCat("the last ", failed_writes_, " publications were not stored: ", last_failure_);
}

}  // namespace demorl
