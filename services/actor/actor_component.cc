#include "services/actor/actor_component.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/host_name.h"
#include "common/base/status_macros.h"
#include "common/config/run_modes.h"
#include "common/env/registry.h"
#include "services/actor/actor_metrics.h"
#include "services/actor/collection_loop.h"
#include "services/actor/evaluation_service.h"
#include "services/mpc_rollout/mpc_rollout_client.h"

namespace demorl {
namespace {

using demorl::config::v1::ActorConfig;
using demorl::config::v1::RunConfig;
using demorl::snapshot::v1::SNAPSHOT_KIND_POLICY;

constexpr int kWaitingEvaluations = 8;
constexpr int kEpisodeCounterBits = 40;

class ActorComponent final : public ServiceComponent {
 public:
  struct Parts {
    std::string run_id;
    std::unique_ptr<ActorMetrics> metrics;
    std::unique_ptr<ReplayClient> replay;
    std::unique_ptr<SnapshotClient> snapshots;
    // Null where the policy acts.
    std::unique_ptr<MpcRolloutClient> planning;
    std::unique_ptr<CollectionLoop> loop;
    EnvironmentFactory factory;
    EvaluationService::Options evaluation;
  };

  explicit ActorComponent(Parts parts)
      : parts_(std::move(parts)),
        evaluations_(parts_.factory, kWaitingEvaluations),
        service_(
            parts_.evaluation, [this](uint64_t version) { return FindPolicy(version); }, &evaluations_,
            parts_.metrics.get()) {}

  ~ActorComponent() override { Drain(absl::Now()).IgnoreError(); }

  absl::string_view name() const override { return "actor"; }
  std::vector<grpc::Service*> rpc_services() override { return {&service_}; }

  absl::Status Start() override {
    parts_.loop->Start();
    return absl::OkStatus();
  }

  ComponentStatus Status() const override {
    ComponentStatus status = parts_.loop->Status();
    status.figures["evaluations"] = parts_.metrics->evaluations.Value();
    status.figures["evaluations_in_flight"] = evaluations_.num_in_flight();
    return status;
  }

  absl::Status Pause() override {
    parts_.loop->Pause();
    return absl::OkStatus();
  }
  absl::Status Resume() override {
    parts_.loop->Resume();
    return absl::OkStatus();
  }

  absl::StatusOr<std::string> Checkpoint() override { return std::string(); }

  absl::Status Drain(absl::Time deadline) override {
    if (parts_.planning != nullptr) {
      parts_.planning->Close();
    }
    evaluations_.Close();
    return parts_.loop->Drain(deadline);
  }

 private:
  absl::StatusOr<std::shared_ptr<const EvaluationService::Policy>> FindPolicy(uint64_t version) {
    const std::shared_ptr<const CollectionLoop::Policy> current = parts_.loop->CurrentPolicy();
    auto policy = std::make_shared<EvaluationService::Policy>();
    if (current != nullptr && (version == 0 || version == current->version)) {
      *policy = {current->version, current->tensors};
      return policy;
    }
    if (version == 0) {
      return absl::NotFoundError("the actor has no policy yet");
    }
    ASSIGN_OR_RETURN(const std::shared_ptr<const Snapshot> snapshot,
                     parts_.snapshots->Get(SNAPSHOT_KIND_POLICY, version));
    policy->version = version;
    ASSIGN_OR_RETURN(policy->tensors, DecodeSafetensors(snapshot->payload));
    return policy;
  }

  Parts parts_;
  EvaluationQueue evaluations_;
  EvaluationService service_;
};

absl::StatusOr<std::unique_ptr<EpisodeCollector>> MakeCollector(const ServiceContext& context,
                                                                const std::string& writer_id,
                                                                const EnvironmentFactory& factory,
                                                                const PlannerSource& planners) {
  const ActorConfig& config = context.config.actor();
  // Episodes of a restarted actor are neither numbered nor drawn like those before.
  return CreateEpisodeCollector(
      {.environment_id = context.config.environment(),
       .num_environments = config.num_environments(),
       .num_threads = config.num_threads(),
       .chunk_steps = config.chunk_steps(),
       .seed = SplitSeed(context.config.seed(), absl::StrCat("actor/", writer_id), context.start_count),
       .first_episode_id = context.start_count << kEpisodeCounterBits,
       .planners = planners},
      factory);
}

absl::StatusOr<std::unique_ptr<CollectionLoop>> MakeLoop(const ServiceContext& context,
                                                         const EnvironmentFactory& factory,
                                                         const PlannerSource& planners, ReplayClient& replay,
                                                         SnapshotClient& snapshots, ActorMetrics* metrics) {
  const RunConfig& config = context.config;
  const std::string writer_id = ExpandHostName(config.actor().writer_id());
  CollectionLoop::Parts parts;
  ASSIGN_OR_RETURN(parts.collector, MakeCollector(context, writer_id, factory, planners));
  if (config.actor().has_spool_dir() && !config.actor().spool_dir().empty()) {
    ASSIGN_OR_RETURN(parts.spool, RecordSpool::Open({.folder = config.actor().spool_dir()}));
    ASSIGN_OR_RETURN(parts.delivery, SpoolDelivery::Open(parts.spool.get()));
  }
  parts.writer = replay.OpenWriter({.table = "env",
                                    .writer_id = writer_id,
                                    .writer_epoch = context.start_count,
                                    .environment = parts.collector->spec(),
                                    .simulated = true});
  parts.policies = snapshots.Watch(SNAPSHOT_KIND_POLICY);
  parts.metrics = metrics;
  parts.trace_log = context.trace_log;
  const CollectionOptions options{.environment_steps = config.environment_steps(),
                                  .learning_starts = config.sac().learning_starts(),
                                  .num_environments = config.actor().num_environments(),
                                  .max_run_ahead_steps = config.actor().max_run_ahead_steps(),
                                  .planned = ActsByPlans(config)};
  return std::make_unique<CollectionLoop>(options, std::move(parts));
}

// Of the environments that the factory makes.
absl::StatusOr<std::string> SchemaHash(const EnvironmentFactory& factory) {
  ASSIGN_OR_RETURN(const std::unique_ptr<Environment> environment, factory(/*seed=*/0));
  return environment->spec().SchemaHash();
}

}  // namespace

absl::StatusOr<std::unique_ptr<ServiceComponent>> MakeActorComponentOn(const ServiceContext& context,
                                                                       const EnvironmentFactory& factory) {
  if (context.replay == nullptr || context.snapshot == nullptr) {
    return absl::FailedPreconditionError(
        "the actor needs the addresses of both replay and snapshot; set services.replay and "
        "services.snapshot");
  }
  const RunConfig& config = context.config;
  if (ActsByPlans(config) && context.mpc_rollout == nullptr) {
    return absl::FailedPreconditionError(
        "this run acts by plans, so the actor needs the address of mpc_rollout; set services.mpc_rollout");
  }
  ActorComponent::Parts parts;
  parts.metrics = std::make_unique<ActorMetrics>(*context.metrics);
  parts.replay = std::make_unique<ReplayClient>(context.replay, config.run_id());
  parts.snapshots = std::make_unique<SnapshotClient>(context.snapshot, config.run_id());
  PlannerSource planners;
  if (ActsByPlans(config)) {
    ASSIGN_OR_RETURN(const std::string schema_hash, SchemaHash(factory));
    parts.planning = std::make_unique<MpcRolloutClient>(
        context.mpc_rollout, MpcRolloutClientOptions{.run_id = config.run_id(), .schema_hash = schema_hash});
    planners.make_planner = [client = parts.planning.get()] { return client->OpenPlanner(); };
    planners.true_simulator = !TrainsModel(config);
  }
  ASSIGN_OR_RETURN(
      parts.loop, MakeLoop(context, factory, planners, *parts.replay, *parts.snapshots, parts.metrics.get()));
  parts.factory = factory;
  parts.evaluation = {.run_id = config.run_id(),
                      .environment_id = config.environment(),
                      .num_threads = config.actor().num_threads(),
                      .planners = planners};
  return std::make_unique<ActorComponent>(std::move(parts));
}

absl::StatusOr<std::unique_ptr<ServiceComponent>> MakeActorComponent(const ServiceContext& context) {
  return MakeActorComponentOn(
      context, [id = context.config.environment()](uint64_t seed) { return MakeEnvironment(id, seed); });
}

}  // namespace demorl
