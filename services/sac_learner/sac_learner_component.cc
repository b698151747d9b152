#include "services/sac_learner/sac_learner_component.h"

#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_join.h"
#include "common/base/status_macros.h"
#include "common/env/registry.h"
#include "common/rl/compute_device.h"
#include "common/rpc/worker_loop.h"
#include "services/replay/replay_client.h"
#include "services/sac_learner/learner_loop.h"
#include "services/snapshot/snapshot_client.h"
#include "spdlog/spdlog.h"

namespace demorl {
namespace {

constexpr int kCheckpointsKept = 3;

demorl::snapshot::v1::SnapshotMetadata BaseMetadata(const ServiceContext& context,
                                                    const EnvironmentSpec& environment) {
  const auto& sizes = context.config.sac().hidden_sizes();
  auto metadata = MakeSnapshotMetadata(environment, context.config_hash);
  (*metadata.mutable_architecture())["hidden_sizes"] = sizes.empty() ? "256,256" : absl::StrJoin(sizes, ",");
  (*metadata.mutable_architecture())["activation"] = "relu";
  return metadata;
}

class SacLearnerComponent final : public WorkerLoopComponent {
 public:
  explicit SacLearnerComponent(const ServiceContext& context)
      : context_(context),
        metrics_(*context.metrics),
        checkpoints_(context.data_dir, kCheckpointsKept, metrics_.checkpoints),
        replay_(context.replay, context.config.run_id()),
        snapshots_(context.snapshot, context.config.run_id()) {}

  ~SacLearnerComponent() override { EndLoop(); }

  // Everything that can be wrong with configuration and checkpoints, where the environment is known.
  absl::Status Initialise() {
    const absl::StatusOr<EnvironmentSpec> native = GetEnvironmentSpec(context_.config.environment());
    if (native.ok()) {
      ASSIGN_OR_RETURN(prepared_, PrepareLearner(context_.config, *native, checkpoints_));
    }
    LearnerLoop::Parts parts;
    parts.config = context_.config;
    parts.prepare = [this] { return Prepare(); };
    parts.open_sampler = [this](const BatchSamplerOptions& options) { return replay_.OpenSampler(options); };
    parts.make_publisher = [this](const EnvironmentSpec& environment) {
      return std::make_unique<SnapshotPublisher>(
          [this](demorl::snapshot::v1::SnapshotMetadata metadata, const std::string& payload,
                 absl::Time deadline) { return snapshots_.Publish(std::move(metadata), payload, deadline); },
          BaseMetadata(context_, environment), &metrics_, context_.trace_log);
    };
    parts.checkpoints = &checkpoints_;
    parts.metrics = &metrics_;
    parts.trace_log = context_.trace_log;
    HostLoop(std::make_unique<LearnerLoop>(std::move(parts)));
    return absl::OkStatus();
  }

  absl::string_view name() const override { return "sac_learner"; }

 private:
  absl::StatusOr<PreparedLearner> Prepare() {
    if (prepared_.has_value()) {
      PreparedLearner prepared = *std::move(prepared_);
      prepared_.reset();
      return prepared;
    }
    ASSIGN_OR_RETURN(const EnvironmentSpec environment, replay_.GetEnvironment("env"));
    return PrepareLearner(context_.config, environment, checkpoints_);
  }

  const ServiceContext context_;
  SacLearnerMetrics metrics_;
  const ServiceCheckpoints checkpoints_;
  ReplayClient replay_;
  SnapshotClient snapshots_;
  std::optional<PreparedLearner> prepared_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<ServiceComponent>> MakeSacLearnerComponent(const ServiceContext& context) {
  ASSIGN_OR_RETURN(const ComputeDevice device, ChooseDevice(context.config.device()));
  spdlog::info("computes on {} ({})", device.name, device.reason);
  auto component = std::make_unique<SacLearnerComponent>(context);
  RETURN_IF_ERROR(component->Initialise());
  return component;
}

}  // namespace demorl
