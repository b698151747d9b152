#include "services/replay/replay_component.h"

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "common/base/clock.h"
#include "common/base/status_macros.h"
#include "services/replay/core/replay_config.h"
#include "services/replay/core/replay_core.h"
#include "services/replay/core/rocksdb_store.h"
#include "services/replay/replay_service.h"
#include "spdlog/spdlog.h"

namespace demorl {
namespace {

class ReplayComponent final : public ServiceComponent {
 public:
  ReplayComponent(std::unique_ptr<ReplayCore> core, int64_t append_window_bytes,
                  std::shared_ptr<AccessControl> access)
      : core_(std::move(core)), service_(core_.get(), append_window_bytes, std::move(access)) {}

  ~ReplayComponent() override {
    core_->Close();
    core_->StopStore();
  }

  absl::string_view name() const override { return "replay"; }
  std::vector<grpc::Service*> rpc_services() override { return {&service_}; }

  absl::Status Start() override {
    SetState(ComponentState::kRunning);
    return absl::OkStatus();
  }

  ComponentStatus Status() const override {
    ComponentStatus status;
    {
      absl::MutexLock lock(&mutex_);
      status.state = state_;
    }
    for (const TableSummary& table : core_->DescribeAll()) {
      absl::StrAppend(&status.detail, status.detail.empty() ? "" : ", ", table.name, " ", table.size,
                      " rows");
      status.figures[absl::StrCat(table.name, "_rows")] = static_cast<double>(table.size);
      status.figures[absl::StrCat(table.name, "_rows_inserted")] = static_cast<double>(table.rows_inserted);
      status.figures[absl::StrCat(table.name, "_updates")] = static_cast<double>(table.updates);
      status.figures[absl::StrCat(table.name, "_limiter_error")] = table.limiter_error;
    }
    status.figures["streams"] = service_.num_streams();
    const absl::Status store = core_->StoreStatus();
    status.figures["store_failing"] = store.ok() ? 0 : 1;
    if (!store.ok()) {
      status.detail = absl::StrCat("nothing becomes durable: ", store.message(), "; ", status.detail);
    }
    return status;
  }

  absl::Status Pause() override {
    core_->SetPaused(true);
    SetState(ComponentState::kPaused);
    return absl::OkStatus();
  }

  absl::Status Resume() override {
    core_->SetPaused(false);
    SetState(ComponentState::kRunning);
    return absl::OkStatus();
  }

  absl::StatusOr<std::string> Checkpoint() override {
    absl::Notification done;
    absl::StatusOr<CheckpointInfo> checkpoint;
    core_->CreateCheckpoint([&](const absl::StatusOr<CheckpointInfo>& made) {
      checkpoint = made;
      done.Notify();
    });
    done.WaitForNotification();
    if (absl::IsFailedPrecondition(checkpoint.status())) {
      return std::string();  // in memory
    }
    RETURN_IF_ERROR(checkpoint.status());
    return checkpoint->path;
  }

  absl::Status Drain(absl::Time deadline) override {
    SetState(ComponentState::kDraining);
    core_->Close();
    const absl::Status flushed = core_->Flush(deadline);
    service_.EndStreams();
    core_->StopStore();
    if (flushed.ok()) {
      spdlog::info("everything taken in is durable");
    } else {
      spdlog::error("drain: {}", std::string(flushed.message()));
    }
    return flushed;
  }

 private:
  void SetState(ComponentState state) {
    absl::MutexLock lock(&mutex_);
    if (state_ != ComponentState::kDraining) {
      state_ = state;
    }
  }

  // The service listens to the core: it may go first because the core's thread has ended by then.
  const std::unique_ptr<ReplayCore> core_;
  ReplayService service_;
  mutable absl::Mutex mutex_;
  ComponentState state_ ABSL_GUARDED_BY(mutex_) = ComponentState::kStarting;
};

}  // namespace

absl::StatusOr<std::unique_ptr<ServiceComponent>> MakeReplayComponent(const ServiceContext& context) {
  const config::v1::ReplayConfig& config = context.config.replay();
  ASSIGN_OR_RETURN(const ReplayOptions options,
                   ReplayOptionsFromConfig(config, context.config.run_id(), context.config.seed()));
  std::unique_ptr<KvStore> store;
  if (!context.data_dir.empty()) {
    ASSIGN_OR_RETURN(store, OpenRocksDbStore(context.data_dir));
  }
  ASSIGN_OR_RETURN(
      std::unique_ptr<ReplayCore> core,
      ReplayCore::Create(options, RealClock::Get(), context.metrics, std::move(store), context.trace_log));
  for (const TableSummary& table : core->DescribeAll()) {
    spdlog::info("table '{}': {} rows held, {} taken in, {} updates", table.name, table.size,
                 table.rows_inserted, table.updates);
  }
  return std::unique_ptr<ServiceComponent>(
      std::make_unique<ReplayComponent>(std::move(core), config.append_window_bytes(), context.access));
}

}  // namespace demorl
