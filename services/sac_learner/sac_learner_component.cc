#include "services/sac_learner/sac_learner_component.h"

#include <filesystem>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/status_macros.h"
#include "common/env/registry.h"
#include "common/rpc/worker_loop.h"
#include "common/tensor/transition_codec.h"
#include "services/replay/replay_client.h"
#include "services/sac_learner/learner_loop.h"
#include "services/snapshot/snapshot_client.h"

namespace demorl {
namespace {

constexpr int kCheckpointsKept = 3;

demorl::snapshot::v1::SnapshotMetadata BaseMetadata(const ServiceContext& context,
                                                    const EnvironmentSpec& environment) {
  const auto& sizes = context.config.sac().hidden_sizes();
  demorl::snapshot::v1::SnapshotMetadata metadata;
  (*metadata.mutable_architecture())["hidden_sizes"] = sizes.empty() ? "256,256" : absl::StrJoin(sizes, ",");
  (*metadata.mutable_architecture())["activation"] = "relu";
  metadata.set_observation_size(static_cast<uint32_t>(environment.observation_size));
  metadata.set_action_size(static_cast<uint32_t>(environment.action_size));
  metadata.set_schema_hash(environment.SchemaHash());
  metadata.mutable_lineage()->set_config_hash(context.config_hash);
  return metadata;
}

class SacLearnerComponent final : public WorkerLoopComponent {
 public:
  explicit SacLearnerComponent(const ServiceContext& context)
      : context_(context),
        metrics_(*context.metrics),
        replay_(context.replay, context.config.run_id()),
        snapshots_(context.snapshot, context.config.run_id()) {}

  ~SacLearnerComponent() override { EndLoop(); }

  // Everything that can be wrong with configuration and checkpoints, where the environment is known.
  absl::Status Initialise() {
    std::unique_ptr<CheckpointStore> store;
    if (!context_.data_dir.empty()) {
      store = std::make_unique<CheckpointStore>(std::filesystem::path(context_.data_dir) / "checkpoints",
                                                kCheckpointsKept);
    }
    const absl::StatusOr<EnvironmentSpec> native = GetEnvironmentSpec(context_.config.environment());
    if (native.ok()) {
      ASSIGN_OR_RETURN(prepared_, PrepareLearner(context_.config, *native, store.get(), &metrics_));
    }
    LearnerLoop::Parts parts;
    parts.config = context_.config;
    parts.prepare = [this, store = store.get()] { return Prepare(store); };
    parts.open_sampler = [this](const BatchSamplerOptions& options) { return replay_.OpenSampler(options); };
    parts.make_publisher = [this](const EnvironmentSpec& environment) {
      return std::make_unique<SnapshotPublisher>(
          [this](demorl::snapshot::v1::SnapshotMetadata metadata, const std::string& payload,
                 absl::Time deadline) { return snapshots_.Publish(std::move(metadata), payload, deadline); },
          BaseMetadata(context_, environment), &metrics_);
    };
    parts.checkpoints = std::move(store);
    parts.metrics = &metrics_;
    HostLoop(std::make_unique<LearnerLoop>(std::move(parts)));
    return absl::OkStatus();
  }

  absl::string_view name() const override { return "sac_learner"; }

 private:
  absl::StatusOr<PreparedLearner> Prepare(const CheckpointStore* store) {
    if (prepared_.has_value()) {
      PreparedLearner prepared = *std::move(prepared_);
      prepared_.reset();
      return prepared;
    }
    ASSIGN_OR_RETURN(const demorl::replay::v1::TableInfo table, replay_.GetTable("env"));
    if (!table.has_environment()) {
      return absl::UnavailableError(
          absl::StrCat("replay has met no actor of ", context_.config.environment(), " yet"));
    }
    ASSIGN_OR_RETURN(const EnvironmentSpec environment, DecodeEnvironmentSpec(table.environment()));
    return PrepareLearner(context_.config, environment, store, &metrics_);
  }

  const ServiceContext context_;
  SacLearnerMetrics metrics_;
  ReplayClient replay_;
  SnapshotClient snapshots_;
  std::optional<PreparedLearner> prepared_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<ServiceComponent>> MakeSacLearnerComponent(const ServiceContext& context) {
  auto component = std::make_unique<SacLearnerComponent>(context);
  RETURN_IF_ERROR(component->Initialise());
  return component;
}

}  // namespace demorl
