#include "services/replay/core/rocksdb_store.h"

#include <algorithm>
#include <cstdarg>
#include <memory>
#include <system_error>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/base/file_io.h"
#include "common/base/status_macros.h"
#include "rocksdb/db.h"
#include "rocksdb/env.h"
#include "rocksdb/utilities/checkpoint.h"
#include "rocksdb/write_batch.h"

namespace demorl {
namespace {

absl::Status FromRocksDb(const rocksdb::Status& status, const std::filesystem::path& path) {
  if (status.ok()) {
    return absl::OkStatus();
  }
  const std::string message = absl::StrCat("store ", path.string(), ": ", status.ToString());
  if (status.IsNoSpace()) {
    return absl::ResourceExhaustedError(message);
  }
  if (status.IsCorruption()) {
    return absl::DataLossError(message);
  }
  return absl::InternalError(message);
}

// RocksDB's own log would lie on the disk of the data, and RocksDB 7.8 aborts when it has more to say to a
// log that could not be written: a full disk would end the process. What goes wrong is in the statuses.
class NoLog final : public rocksdb::Logger {
 public:
  using rocksdb::Logger::Logv;
  void Logv(const char* /*format*/, va_list /*arguments*/) override {}
};

rocksdb::Options StoreOptions() {
  rocksdb::Options options;
  options.create_if_missing = true;
  options.compression = rocksdb::kNoCompression;
  options.write_buffer_size = 32 << 20;
  options.max_background_jobs = 2;
  options.max_open_files = 256;
  options.info_log = std::make_shared<NoLog>();
  options.wal_recovery_mode = rocksdb::WALRecoveryMode::kPointInTimeRecovery;
  return options;
}

class RocksDbStore final : public KvStore {
 public:
  explicit RocksDbStore(const std::filesystem::path& folder) : folder_(folder), path_(folder / "store") {}

  absl::Status Open() {
    db_.reset();
    rocksdb::DB* db = nullptr;
    RETURN_IF_ERROR(FromRocksDb(rocksdb::DB::Open(StoreOptions(), path_.string(), &db), path_));
    db_.reset(db);
    return absl::OkStatus();
  }

  absl::Status Write(const std::vector<KvChange>& changes) override {
    if (db_ == nullptr) {
      RETURN_IF_ERROR(Open());
    }
    rocksdb::WriteBatch batch;
    for (const KvChange& change : changes) {
      switch (change.kind) {
        case KvChange::Kind::kPut:
          batch.Put(change.key, change.value);
          break;
        case KvChange::Kind::kDelete:
          batch.Delete(change.key);
          break;
        case KvChange::Kind::kDeleteRange:
          batch.DeleteRange(change.key, change.value);
          break;
      }
    }
    rocksdb::WriteOptions options;
    options.sync = true;
    const rocksdb::Status status = db_->Write(options, &batch);
    if (!status.ok()) {
      db_.reset();  // a failed log cannot be trusted; opening again recovers it
    }
    return FromRocksDb(status, path_);
  }

  absl::Status Scan(absl::string_view prefix,
                    const std::function<absl::Status(absl::string_view, absl::string_view)>& visit) override {
    if (db_ == nullptr) {
      RETURN_IF_ERROR(Open());
    }
    const rocksdb::Slice wanted(prefix.data(), prefix.size());
    const std::unique_ptr<rocksdb::Iterator> iterator(db_->NewIterator(rocksdb::ReadOptions()));
    for (iterator->Seek(wanted); iterator->Valid() && iterator->key().starts_with(wanted); iterator->Next()) {
      RETURN_IF_ERROR(visit(absl::string_view(iterator->key().data(), iterator->key().size()),
                            absl::string_view(iterator->value().data(), iterator->value().size())));
    }
    return FromRocksDb(iterator->status(), path_);
  }

  absl::StatusOr<std::string> CreateCheckpoint() override {
    if (db_ == nullptr) {
      RETURN_IF_ERROR(Open());
    }
    RETURN_IF_ERROR(MakeFolders(folder_ / "checkpoints"));
    ASSIGN_OR_RETURN(const int64_t number, NextCheckpointNumber());
    const std::string relative = absl::StrFormat("checkpoints/%08d", number);
    rocksdb::Checkpoint* checkpoint = nullptr;
    RETURN_IF_ERROR(FromRocksDb(rocksdb::Checkpoint::Create(db_.get(), &checkpoint), path_));
    const std::unique_ptr<rocksdb::Checkpoint> owned(checkpoint);
    RETURN_IF_ERROR(
        FromRocksDb(checkpoint->CreateCheckpoint((folder_ / relative).string()), folder_ / relative));
    RETURN_IF_ERROR(SyncFolder(folder_ / "checkpoints"));
    return relative;
  }

 private:
  absl::StatusOr<int64_t> NextCheckpointNumber() const {
    int64_t last = 0;
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator(folder_ / "checkpoints", error)) {
      int64_t number = 0;
      if (absl::SimpleAtoi(entry.path().filename().string(), &number)) {
        last = std::max(last, number);
      }
    }
    if (error) {
      return ErrnoToStatus(error.value(), "list", folder_ / "checkpoints");
    }
    return last + 1;
  }

  const std::filesystem::path folder_;
  const std::filesystem::path path_;
  // Null after a failed write, until it is opened again.
  std::unique_ptr<rocksdb::DB> db_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<KvStore>> OpenRocksDbStore(const std::filesystem::path& folder) {
  auto store = std::make_unique<RocksDbStore>(folder);
  RETURN_IF_ERROR(store->Open());
  return std::unique_ptr<KvStore>(std::move(store));
}

}  // namespace demorl
