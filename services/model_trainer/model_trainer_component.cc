#include "services/model_trainer/model_trainer_component.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/status_macros.h"
#include "common/env/registry.h"
#include "common/rl/compute_device.h"
#include "common/rpc/worker_loop.h"
#include "services/model_trainer/trainer_loop.h"
#include "services/replay/replay_client.h"
#include "services/snapshot/snapshot_client.h"
#include "spdlog/spdlog.h"

namespace demorl {
namespace {

constexpr int kCheckpointsKept = 2;
constexpr char kTable[] = "env";

demorl::snapshot::v1::SnapshotMetadata MakeMetadata(const ServiceContext& context,
                                                    const EnvironmentSpec& environment) {
  const demorl::config::v1::ModelConfig& model = context.config.model();
  auto metadata = MakeSnapshotMetadata(environment, context.config_hash);
  metadata.set_kind(demorl::snapshot::v1::SNAPSHOT_KIND_DYNAMICS);
  auto& architecture = *metadata.mutable_architecture();
  architecture["type"] = "gaussian_ensemble";
  architecture["members"] = absl::StrCat(model.ensemble_size());
  architecture["hidden_sizes"] =
      model.hidden_sizes().empty() ? "200,200,200,200" : absl::StrJoin(model.hidden_sizes(), ",");
  architecture["activation"] = "silu";
  return metadata;
}

class ModelTrainerComponent final : public WorkerLoopComponent {
 public:
  explicit ModelTrainerComponent(const ServiceContext& context)
      : context_(context),
        metrics_(*context.metrics),
        checkpoints_(context.data_dir, kCheckpointsKept, metrics_.checkpoints),
        replay_(context.replay, context.config.run_id()),
        snapshots_(context.snapshot, context.config.run_id()) {}

  ~ModelTrainerComponent() override { EndLoop(); }

  // Everything that can be wrong with configuration and checkpoints, where the environment is known.
  absl::Status Initialise() {
    const absl::StatusOr<EnvironmentSpec> native = GetEnvironmentSpec(context_.config.environment());
    if (native.ok()) {
      RETURN_IF_ERROR(PrepareTrainer(context_.config, *native, false, nullptr, checkpoints_).status());
    }
    TrainerLoop::Parts parts;
    parts.config = context_.config;
    parts.prepare = [this](std::function<bool()> should_stop) { return Prepare(std::move(should_stop)); };
    parts.open_tail = [this](uint64_t position) { return replay_.OpenTail(kTable, position); };
    parts.rows_inserted = [this]() -> absl::StatusOr<int64_t> {
      ASSIGN_OR_RETURN(const demorl::replay::v1::TableInfo table, replay_.GetTable(kTable));
      return static_cast<int64_t>(table.rows_inserted());
    };
    parts.publish = [this](demorl::snapshot::v1::SnapshotMetadata metadata, const std::string& payload,
                           absl::Time deadline) {
      return snapshots_.Publish(std::move(metadata), payload, deadline);
    };
    parts.make_metadata = [this](const EnvironmentSpec& environment) {
      return MakeMetadata(context_, environment);
    };
    parts.checkpoints = &checkpoints_;
    parts.metrics = &metrics_;
    parts.trace_log = context_.trace_log;
    HostLoop(std::make_unique<TrainerLoop>(std::move(parts)));
    return absl::OkStatus();
  }

  absl::string_view name() const override { return "model_trainer"; }

 private:
  // A task that is not native has no known rule of termination; its sizes come from replay.
  absl::StatusOr<PreparedTrainer> Prepare(std::function<bool()> should_stop) {
    absl::StatusOr<EnvironmentSpec> environment = GetEnvironmentSpec(context_.config.environment());
    const bool native = environment.ok();
    if (!native) {
      ASSIGN_OR_RETURN(environment, replay_.GetEnvironment(kTable));
    }
    return PrepareTrainer(context_.config, *environment, !native, std::move(should_stop), checkpoints_);
  }

  const ServiceContext context_;
  ModelTrainerMetrics metrics_;
  const ServiceCheckpoints checkpoints_;
  ReplayClient replay_;
  SnapshotClient snapshots_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<ServiceComponent>> MakeModelTrainerComponent(const ServiceContext& context) {
  ASSIGN_OR_RETURN(const ComputeDevice device, ChooseDevice(context.config.device()));
  spdlog::info("computes on {} ({})", device.name, device.reason);
  auto component = std::make_unique<ModelTrainerComponent>(context);
  RETURN_IF_ERROR(component->Initialise());
  return component;
}

}  // namespace demorl
