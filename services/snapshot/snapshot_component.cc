#include "services/snapshot/snapshot_component.h"

#include <atomic>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/base/status_macros.h"
#include "services/snapshot/core/snapshot_store.h"
#include "services/snapshot/snapshot_service.h"
#include "spdlog/spdlog.h"

namespace demorl {
namespace {

class SnapshotComponent final : public ServiceComponent {
 public:
  SnapshotComponent(std::unique_ptr<SnapshotStore> store, const ServiceContext& context)
      : data_dir_(context.data_dir),
        store_(std::move(store)),
        service_(SnapshotService::Create(store_.get(), SnapshotMetrics(context.metrics), context.access,
                                         context.trace_log)) {}

  absl::string_view name() const override { return "snapshot"; }
  std::vector<grpc::Service*> rpc_services() override { return {service_->rpc_service()}; }

  absl::Status Start() override {
    state_.store(ComponentState::kRunning);
    return absl::OkStatus();
  }

  ComponentStatus Status() const override {
    ComponentStatus status = {.state = state_.load()};
    status.figures["watchers"] = service_->num_watchers();
    for (const SnapshotKind kind : kAllSnapshotKinds) {
      const std::string kind_name(SnapshotKindName(kind));
      const std::shared_ptr<const StoredSnapshot> current = store_->Current(kind);
      const double version = current == nullptr ? 0 : static_cast<double>(current->info.version);
      status.figures[absl::StrCat(kind_name, "_version")] = version;
    }
    const std::string trouble = store_->StorageTrouble();
    if (!trouble.empty() && status.state == ComponentState::kRunning) {
      status.state = ComponentState::kUnhealthy;
    }
    status.detail = !trouble.empty()                            ? trouble
                    : status.state == ComponentState::kPaused   ? "publications are refused until resumed"
                    : status.state == ComponentState::kDraining ? "draining"
                    : status.figures["policy_version"] == 0.0   ? "waits for the first policy"
                                                                : "serves";
    return status;
  }

  absl::Status Pause() override { return SetState(ComponentState::kPaused); }
  absl::Status Resume() override { return SetState(ComponentState::kRunning); }

  // Every acknowledged version is durable already.
  absl::StatusOr<std::string> Checkpoint() override { return data_dir_; }

  absl::Status Drain(absl::Time) override {
    state_.store(ComponentState::kDraining);
    service_->SetAccepting(false);
    service_->Close();
    return absl::OkStatus();
  }

 private:
  absl::Status SetState(ComponentState state) {
    ComponentState before = state_.load();
    do {
      if (before == ComponentState::kDraining) {
        return absl::UnavailableError("the snapshot service is draining");
      }
    } while (!state_.compare_exchange_weak(before, state));
    service_->SetAccepting(state == ComponentState::kRunning);
    return absl::OkStatus();
  }

  const std::string data_dir_;
  const std::unique_ptr<SnapshotStore> store_;
  const std::unique_ptr<SnapshotService> service_;
  std::atomic<ComponentState> state_{ComponentState::kStarting};
};

}  // namespace

absl::StatusOr<std::unique_ptr<ServiceComponent>> MakeSnapshotComponent(const ServiceContext& context) {
  SnapshotStore::Options options = {.data_dir = context.data_dir,
                                    .keep_versions = context.config.snapshot().keep_versions(),
                                    .run_id = context.config.run_id(),
                                    .metrics = context.metrics,
                                    .now_us = [] { return absl::ToUnixMicros(absl::Now()); }};
  ASSIGN_OR_RETURN(std::unique_ptr<SnapshotStore> store, SnapshotStore::Open(std::move(options)));
  for (const std::string& damaged : store->damaged()) {
    spdlog::warn("set aside as damaged: {}", damaged);
  }
  for (const SnapshotKind kind : kAllSnapshotKinds) {
    if (const auto current = store->Current(kind); current != nullptr) {
      spdlog::info("serves {} version {}", std::string(SnapshotKindName(kind)), current->info.version);
    }
  }
  return std::make_unique<SnapshotComponent>(std::move(store), context);
}

}  // namespace demorl
