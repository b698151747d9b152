#include "services/mpc_rollout/mpc_rollout_component.h"

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "common/base/host_name.h"
#include "common/base/status_macros.h"
#include "common/env/registry.h"
#include "common/rl/compute_device.h"
#include "services/mpc_rollout/core/planner_options.h"
#include "services/mpc_rollout/planning_service.h"
#include "services/mpc_rollout/rollout_worker.h"
#include "services/mpc_rollout/snapshot_feed.h"
#include "services/replay/replay_client.h"
#include "services/snapshot/snapshot_client.h"
#include "spdlog/spdlog.h"

namespace demorl {
namespace {

using ::demorl::snapshot::v1::SNAPSHOT_KIND_DYNAMICS;
using ::demorl::snapshot::v1::SNAPSHOT_KIND_POLICY;
using ::demorl::snapshot::v1::SNAPSHOT_KIND_VALUE;
using ::demorl::snapshot::v1::SnapshotKind;

std::string PlannerId(const config::v1::RunConfig& config) {
  return absl::StrCat("mpc_rollout-", ExpandHostName(config.services().mpc_rollout().instance()));
}

class MpcRolloutComponent final : public ServiceComponent {
 public:
  explicit MpcRolloutComponent(const ServiceContext& context)
      : context_(context),
        metrics_(*context.metrics),
        replay_(context.replay, context.config.run_id()),
        snapshots_(context.snapshot, context.config.run_id()),
        feed_({.dynamics = snapshots_.Watch(SNAPSHOT_KIND_DYNAMICS),
               .policy = snapshots_.Watch(SNAPSHOT_KIND_POLICY),
               .value = snapshots_.Watch(SNAPSHOT_KIND_VALUE)},
              metrics_),
        worker_(WorkerParts()),
        service_([this] { return ExpectedHandshake(); },
                 [this](uint64_t number) { return MakeSession(number); },
                 /*num_threads=*/1) {}

  ~MpcRolloutComponent() override { Drain(absl::Now()).IgnoreError(); }

  absl::string_view name() const override { return "mpc_rollout"; }

  std::vector<grpc::Service*> rpc_services() override { return {&service_}; }

  absl::Status Start() override {
    worker_.Start();
    return absl::OkStatus();
  }

  ComponentStatus Status() const override {
    ComponentStatus status = worker_.Status();
    status.figures["plans"] = metrics_.plans.Value();
    status.figures["fallbacks"] = metrics_.fallbacks.Value();
    return status;
  }

  absl::Status Pause() override {
    worker_.SetPaused(true);
    return absl::OkStatus();
  }

  absl::Status Resume() override {
    worker_.SetPaused(false);
    return absl::OkStatus();
  }

  // Without durable state: rounds are numbered by D_MPC itself.
  absl::StatusOr<std::string> Checkpoint() override { return std::string(); }

  absl::Status Drain(absl::Time deadline) override {
    service_.Close();
    feed_.Close();
    return worker_.Stop(deadline);
  }

 private:
  RolloutWorker::Parts WorkerParts() {
    return {
        .config = context_.config,
        .planner_id = PlannerId(context_.config),
        .start_count = context_.start_count,
        .find_environment = [this] { return Environment(); },
        .is_published = [this](SnapshotKind kind) -> absl::StatusOr<bool> {
          const absl::Status found = snapshots_.Get(kind, 0).status();
          return absl::IsNotFound(found) ? absl::StatusOr<bool>(false)
                 : found.ok()            ? absl::StatusOr<bool>(true)
                                         : found;
        },
        .latest_planning_round = [this]() -> absl::StatusOr<uint64_t> {
          ASSIGN_OR_RETURN(const auto table, replay_.GetTable("mpc"));
          return table.latest_planning_round();
        },
        .claim_round = [this](const RoundClaim& claim) { return replay_.ClaimRound("mpc", claim); },
        .open_sampler = [this](const BatchSamplerOptions& options) { return replay_.OpenSampler(options); },
        .open_writer = [this](const ReplayWriterOptions& options) { return replay_.OpenWriter(options); },
        .feed = &feed_,
        .metrics = &metrics_,
        .trace_log = context_.trace_log};
  }

  // A native environment is known at once; any other is described by whoever writes D_ENV: UNAVAILABLE until
  // then.
  absl::StatusOr<PlanningEnvironment> Environment() {
    absl::MutexLock lock(&mutex_);
    if (!environment_.has_value()) {
      ASSIGN_OR_RETURN(environment_, FindEnvironment());
    }
    return *environment_;
  }

  absl::StatusOr<PlanningEnvironment> FindEnvironment() {
    absl::StatusOr<EnvironmentSpec> native = GetEnvironmentSpec(context_.config.environment());
    if (native.ok()) {
      ASSIGN_OR_RETURN(const TerminationRule rule, GetTerminationRule(context_.config.environment()));
      return PlanningEnvironment{.spec = *std::move(native), .termination_rule = rule};
    }
    ASSIGN_OR_RETURN(EnvironmentSpec spec, replay_.GetEnvironment("env"));
    return PlanningEnvironment{.spec = std::move(spec)};
  }

  absl::StatusOr<PlanningServiceImpl::Handshake> ExpectedHandshake() {
    ASSIGN_OR_RETURN(const PlanningEnvironment environment, Environment());
    return PlanningServiceImpl::Handshake{.run_id = context_.config.run_id(),
                                          .schema_hash = environment.spec.SchemaHash()};
  }

  absl::StatusOr<std::unique_ptr<PlanSession>> MakeSession(uint64_t number) {
    ASSIGN_OR_RETURN(const PlanningEnvironment environment, Environment());
    return PlanSession::Create(context_.config, environment, number, feed_, metrics_);
  }

  const ServiceContext context_;
  MpcRolloutMetrics metrics_;
  ReplayClient replay_;
  SnapshotClient snapshots_;
  absl::Mutex mutex_;
  std::optional<PlanningEnvironment> environment_ ABSL_GUARDED_BY(mutex_);
  SnapshotFeed feed_;
  RolloutWorker worker_;
  PlanningServiceImpl service_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<ServiceComponent>> MakeMpcRolloutComponent(const ServiceContext& context) {
  if (context.replay == nullptr || context.snapshot == nullptr) {
    return absl::FailedPreconditionError(
        "mpc_rollout needs replay and snapshot; config.services names not both of them with a fixed port");
  }
  RETURN_IF_ERROR(MakeDmdMpcOptions(context.config.planner(), context.config.sac().discount()).status());
  ASSIGN_OR_RETURN(const ComputeDevice device, ChooseDevice(context.config.device()));
  spdlog::info("computes on {} ({})", device.name, device.reason);
  return std::make_unique<MpcRolloutComponent>(context);
}

}  // namespace demorl
