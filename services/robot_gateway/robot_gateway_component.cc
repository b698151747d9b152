#include "services/robot_gateway/robot_gateway_component.h"

#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/clock.h"
#include "common/base/status_macros.h"
#include "common/concurrency/stop_token.h"
#include "common/robot/control/robot_loop.h"
#include "common/tensor/trace_codec.h"
#include "services/replay/replay_client.h"
#include "services/robot_gateway/applied_traces.h"
#include "services/robot_gateway/control_host.h"
#include "services/robot_gateway/core/operator_desk.h"
#include "services/robot_gateway/core/robot_setup.h"
#include "services/robot_gateway/core/state_board.h"
#include "services/robot_gateway/devices.h"
#include "services/robot_gateway/gateway_recording.h"
#include "services/robot_gateway/gateway_reporter.h"
#include "services/robot_gateway/gateway_service.h"
#include "services/robot_gateway/policy_feed.h"
#include "services/robot_gateway/robot_gateway_metrics.h"
#include "services/snapshot/snapshot_client.h"
#include "spdlog/spdlog.h"

namespace demorl {
namespace {

using demorl::config::v1::RobotSetup;
using demorl::snapshot::v1::SNAPSHOT_KIND_POLICY;

constexpr absl::Duration kHousekeepingPeriod = absl::Milliseconds(100);
// How long a robot that is told to stop may take to say that it is disarmed.
constexpr absl::Duration kDisarmTime = absl::Seconds(1);
// Ticks that the recorder may be behind.
constexpr int kRingSeconds = 2;

class RobotGatewayComponent final : public ServiceComponent {
 public:
  struct Parts {
    std::string name;
    std::string run_id;
    RobotSetup setup;
    int64_t learning_starts = 0;
    std::unique_ptr<RobotTask> task;
    RobotDevices devices;
    std::unique_ptr<ReplayClient> replay;
    std::unique_ptr<SnapshotClient> snapshots;
    std::unique_ptr<RobotGatewayMetrics> metrics;
    uint64_t seed = 0;
    uint64_t start_count = 1;
    std::string data_dir;
    TraceLog* trace_log = nullptr;
  };

  explicit RobotGatewayComponent(Parts parts);
  ~RobotGatewayComponent() override { Drain(absl::Now()).IgnoreError(); }

  // Opens what lies on disk.
  absl::Status Prepare();

  absl::string_view name() const override { return parts_.name; }
  std::vector<grpc::Service*> rpc_services() override { return {service_.get()}; }
  absl::Status Start() override;
  ComponentStatus Status() const override;
  // A robot is not paused but disarmed.
  absl::Status Pause() override {
    desk_.Disarm();
    return absl::OkStatus();
  }
  absl::Status Resume() override { return absl::OkStatus(); }
  absl::StatusOr<std::string> Checkpoint() override { return std::string(); }
  absl::Status Drain(absl::Time deadline) override;

 private:
  absl::Duration control_period() const { return parts_.task->spec().control_period; }
  RobotLoop::Parts LoopParts();
  GatewayServiceImpl::Parts ServiceParts();
  GatewayServiceImpl::Figures Figures();
  GatewayRecording::Parts RecordingParts();
  std::unique_ptr<PolicyFeed> MakePolicyFeed();
  void OnAdopted(const demorl::snapshot::v1::SnapshotMetadata& metadata, absl::Time start);
  void AwaitMotorsOff(absl::Time deadline);
  void KeepHouse();

  Parts parts_;
  OperatorPanel panel_;
  StateBoard board_;
  AppliedTraces applied_traces_;
  SpscRing<TickRecord> records_;
  RobotLoop loop_;
  ControlHost host_;
  OperatorDesk desk_;
  std::unique_ptr<GatewayServiceImpl> service_;
  GatewayReporter reporter_;
  std::unique_ptr<GatewayRecording> recording_;
  std::unique_ptr<PolicyFeed> policies_;
  StopSource stop_;
  std::thread housekeeping_;
  std::atomic<bool> started_ = false;
  absl::Mutex drain_mutex_;
  bool drained_ ABSL_GUARDED_BY(drain_mutex_) = false;
  absl::Status drain_status_ ABSL_GUARDED_BY(drain_mutex_);
};

size_t RingCapacity(absl::Duration control_period) {
  return static_cast<size_t>(absl::Seconds(kRingSeconds) / control_period) + 1;
}

RobotGatewayComponent::RobotGatewayComponent(Parts parts)
    : parts_(std::move(parts)),
      applied_traces_(parts_.trace_log),
      records_(RingCapacity(control_period())),
      loop_(LoopOptionsOf(parts_.setup, control_period()), LoopParts(), parts_.seed),
      host_({.period = control_period(), .realtime = RealtimeOptionsOf(parts_.setup)}, &loop_,
            parts_.devices.bus.get(), parts_.devices.imu.get()),
      desk_({.num_joints = parts_.task->num_joints(),
             .action_size = parts_.task->spec().action_size,
             .max_lease = absl::Seconds(parts_.setup.safety().maximum_lease_s()),
             .first_lease_id = (parts_.start_count << 32) + 1},
            &RealClock::Get(), &panel_, &board_),
      service_(std::make_unique<GatewayServiceImpl>(ServiceParts())),
      reporter_(parts_.setup.name(), parts_.metrics.get()) {}

RobotLoop::Parts RobotGatewayComponent::LoopParts() {
  return {.task = parts_.task.get(),
          .bus = parts_.devices.bus.get(),
          .imu = parts_.devices.imu.get(),
          .panel = &panel_,
          .records = &records_,
          .limits = LimitsOf(parts_.setup)};
}

GatewayServiceImpl::Parts RobotGatewayComponent::ServiceParts() {
  return {.run_id = parts_.run_id,
          .robot_name = parts_.setup.name(),
          .joint_names = JointNames(parts_.setup),
          .action_size = parts_.task->spec().action_size,
          .operator_axes = parts_.task->operator_axes(),
          .control_period = control_period(),
          .desk = &desk_,
          .board = &board_,
          .figures = [this] { return Figures(); },
          .describe_fault = [this](uint32_t fault) { return host_.DescribeFault(fault); },
          .recover_devices = [this] { return host_.RecoverDevices(); }};
}

GatewayRecording::Parts RobotGatewayComponent::RecordingParts() {
  return {.ticks = &records_,
          .observe =
              [this](const TickRecord& record) {
                board_.Update(record);
                applied_traces_.OnTick(record);
              },
          .make_writer =
              [this] {
                return parts_.replay->OpenWriter({.table = "env",
                                                  .writer_id = parts_.setup.name(),
                                                  .writer_epoch = parts_.start_count,
                                                  .environment = parts_.task->spec(),
                                                  .simulated = false});
              },
          .trace_log = parts_.trace_log};
}

std::unique_ptr<PolicyFeed> RobotGatewayComponent::MakePolicyFeed() {
  return std::make_unique<PolicyFeed>(PolicyFeed::Parts{
      .policies = parts_.snapshots->Watch(SNAPSHOT_KIND_POLICY),
      .spec = parts_.task->spec(),
      .keep = [this](uint64_t version,
                     const std::string& payload) { return recording_->KeepPolicy(version, payload); },
      .adopted = [this](const demorl::snapshot::v1::SnapshotMetadata& metadata,
                        absl::Time start) { OnAdopted(metadata, start); },
      .offer = [this](std::unique_ptr<LoopPolicy> policy) { loop_.OfferPolicy(std::move(policy)); }});
}

absl::Status RobotGatewayComponent::Prepare() {
  ASSIGN_OR_RETURN(recording_, GatewayRecording::Open({.data_dir = parts_.data_dir,
                                                       .run_id = parts_.run_id,
                                                       .start_count = parts_.start_count,
                                                       .setup = parts_.setup,
                                                       .environment = parts_.task->spec()},
                                                      RecordingParts()));
  policies_ = MakePolicyFeed();
  return absl::OkStatus();
}

void RobotGatewayComponent::OnAdopted(const demorl::snapshot::v1::SnapshotMetadata& metadata,
                                      absl::Time start) {
  parts_.metrics->policy_applied.Applied(PublishTime(metadata), absl::Now());
  applied_traces_.Offered(metadata.version(), DecodeTraceContexts(metadata.traces()), start);
}

absl::Status RobotGatewayComponent::Start() {
  started_ = true;
  recording_->Start();
  policies_->Start();
  RETURN_IF_ERROR(host_.Start());
  housekeeping_ = std::thread([this] {
    pthread_setname_np(pthread_self(), "gateway-house");
    const StopToken stop = stop_.token();
    while (!stop.WaitFor(kHousekeepingPeriod)) {
      KeepHouse();
    }
  });
  spdlog::info("{} is disarmed; arm it with: demorl robot arm --gateway ADDRESS", parts_.setup.name());
  return absl::OkStatus();
}

// Motors off first, then everything that was recorded goes out.
absl::Status RobotGatewayComponent::Drain(absl::Time deadline) {
  absl::MutexLock drain_lock(&drain_mutex_);
  if (drained_) {
    return drain_status_;
  }
  drained_ = true;
  desk_.Close();
  AwaitMotorsOff(deadline);
  host_.Stop();
  service_->Close();
  stop_.RequestStop();
  if (housekeeping_.joinable()) {
    housekeeping_.join();
  }
  // What Prepare has not made, since something failed, is not there.
  if (policies_ != nullptr) {
    policies_->Close();
    drain_status_ = recording_->Drain(deadline);
  }
  return drain_status_;
}

// A safe action that is under way is finished first.
void RobotGatewayComponent::AwaitMotorsOff(absl::Time deadline) {
  const absl::Duration safe_action = absl::Seconds(parts_.setup.safety().safe_action_time_s());
  const absl::Time patience = std::min(deadline, absl::Now() + safe_action + kDisarmTime);
  while (started_ && !desk_.MotorsAreOff() && absl::Now() < patience) {
    stop_.token().WaitFor(kHousekeepingPeriod);
  }
}

ComponentStatus RobotGatewayComponent::Status() const {
  const StateBoard::Summary summary = board_.Get();
  const ControlHost::Timings timings = host_.timings();
  const GatewayRecording::Figures recorded = recording_->figures();
  ComponentStatus status;
  status.state = started_ ? ComponentState::kRunning : ComponentState::kStarting;
  status.detail = summary.ticking ? std::string(Name(summary.last.state)) : "not started";
  if (summary.last.reason != StopReason::kNone) {
    absl::StrAppend(&status.detail, " (", Name(summary.last.reason), ")");
  }
  if (const std::string holder = desk_.holder(); !holder.empty()) {
    absl::StrAppend(&status.detail, ", held by ", holder);
  }
  absl::StrAppend(&status.detail, "; ", recorded.uploader.detail);
  status.figures = {{"ticks", static_cast<double>(timings.num_ticks)},
                    {"missed_ticks", static_cast<double>(timings.num_missed)},
                    {"episodes", static_cast<double>(summary.episodes)},
                    {"last_return", summary.last_return},
                    {"rows_recorded", static_cast<double>(recorded.recorder.segments.rows)},
                    {"rows_dropped", static_cast<double>(recorded.recorder.rows_dropped)},
                    {"rows_sent", static_cast<double>(recorded.uploader.rows_sent)},
                    {"rows_durable", static_cast<double>(recorded.uploader.rows_durable)},
                    {"spool_bytes", static_cast<double>(recorded.spool_bytes)},
                    {"policy_version", static_cast<double>(policies_->version())}};
  return status;
}

GatewayServiceImpl::Figures RobotGatewayComponent::Figures() {
  const ControlHost::Timings timings = host_.timings();
  const GatewayReporter::WorstTiming worst = reporter_.TakeWorst();
  const GatewayRecording::Figures recorded = recording_->figures();
  return {.num_ticks = timings.num_ticks,
          .num_missed_ticks = timings.num_missed,
          .rows_recorded = static_cast<uint64_t>(recorded.recorder.segments.rows),
          .rows_durable = static_cast<uint64_t>(recorded.uploader.rows_durable),
          .rows_intervened = static_cast<uint64_t>(recorded.recorder.segments.operator_rows),
          .spool_bytes = static_cast<uint64_t>(recorded.spool_bytes),
          .worst_wake_up = worst.wake_up,
          .worst_compute = worst.compute,
          .degraded = host_.degraded()};
}

void RobotGatewayComponent::KeepHouse() {
  loop_.CollectOldPolicies();
  const GatewayRecording::Figures recorded = recording_->figures();
  const uint64_t policy_version = policies_->version();
  // Without an answer of replay yet, a policy tells that learning has begun.
  const int64_t rows = recorded.uploader.rows_in_table;
  loop_.SetLearningStarted(rows >= parts_.learning_starts || (rows == 0 && policy_version > 0));
  host_.TakeTimings([this](const TickTiming& timing) { reporter_.Observe(timing); });
  reporter_.Report(board_.Get(), {.spool_bytes = recorded.spool_bytes,
                                  .policy_version = policy_version,
                                  .dropped_records = loop_.num_dropped_records(),
                                  .policies_refused = policies_->num_refused()});
}

absl::Status CheckContext(const ServiceContext& context) {
  if (context.replay == nullptr || context.snapshot == nullptr) {
    return absl::FailedPreconditionError(
        "a gateway needs the addresses of both replay and snapshot; set services.replay and "
        "services.snapshot");
  }
  if (context.data_dir.empty()) {
    return absl::FailedPreconditionError(
        "a gateway needs a folder for what it records; set data_dir of its section in services");
  }
  if (!context.config.has_robot()) {
    return absl::FailedPreconditionError(
        "the configuration has no section `robot`; see deploy/config/robots for examples");
  }
  return absl::OkStatus();
}

void LogDevices(const std::vector<ActuatorInfo>& devices, const std::vector<JointLimits>& limits) {
  for (size_t i = 0; i < devices.size(); ++i) {
    spdlog::info("joint {}: actuator {}, {}, firmware {}{}", limits[i].joint_name, devices[i].id,
                 devices[i].model, devices[i].firmware,
                 devices[i].has_watchdog ? "" : ", without a watchdog");
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<ServiceComponent>> MakeRobotGatewayOn(const ServiceContext& context,
                                                                     const std::string& service_name,
                                                                     std::unique_ptr<RobotTask> task,
                                                                     RobotDevices devices) {
  RETURN_IF_ERROR(CheckContext(context));
  const RobotSetup& setup = context.config.robot();
  RETURN_IF_ERROR(CheckRobotSetup(setup, task->num_joints()));
  ASSIGN_OR_RETURN(const std::vector<ActuatorInfo> actuators, devices.bus->Identify());
  const std::vector<JointLimits> limits = LimitsOf(setup);
  LogDevices(actuators, limits);
  RETURN_IF_ERROR(CheckLimits(limits, actuators));
  RETURN_IF_ERROR(devices.bus->Configure(absl::Seconds(setup.bus().watchdog_timeout_s())));
  if (devices.imu != nullptr) {
    RETURN_IF_ERROR(devices.imu->Start());
  }
  const uint64_t seed =
      SplitSeed(context.config.seed(), absl::StrCat("gateway/", setup.name()), context.start_count);
  auto component = std::make_unique<RobotGatewayComponent>(RobotGatewayComponent::Parts{
      .name = service_name,
      .run_id = context.config.run_id(),
      .setup = setup,
      .learning_starts = context.config.sac().learning_starts(),
      .task = std::move(task),
      .devices = std::move(devices),
      .replay = std::make_unique<ReplayClient>(context.replay, context.config.run_id()),
      .snapshots = std::make_unique<SnapshotClient>(context.snapshot, context.config.run_id()),
      .metrics = std::make_unique<RobotGatewayMetrics>(*context.metrics, JointNames(setup)),
      .seed = seed,
      .start_count = context.start_count,
      .data_dir = context.data_dir,
      .trace_log = context.trace_log});
  RETURN_IF_ERROR(component->Prepare());
  return component;
}

absl::StatusOr<std::unique_ptr<ServiceComponent>> MakeRobotGateway(const ServiceContext& context,
                                                                   const std::string& service_name,
                                                                   std::unique_ptr<RobotTask> task) {
  RETURN_IF_ERROR(CheckContext(context));
  RETURN_IF_ERROR(CheckRobotSetup(context.config.robot(), task->num_joints()));
  RobotDevices devices;
  ASSIGN_OR_RETURN(devices.bus, OpenActuatorBus(context.config.robot()));
  ASSIGN_OR_RETURN(devices.imu, OpenImu(context.config.robot()));
  return MakeRobotGatewayOn(context, service_name, std::move(task), std::move(devices));
}

}  // namespace demorl
