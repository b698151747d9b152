#include "services/robot_gateway/robot_gateway_component.h"

#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/clock.h"
#include "common/base/record_spool.h"
#include "common/base/spool_delivery.h"
#include "common/base/status_macros.h"
#include "common/concurrency/stop_token.h"
#include "common/robot/control/robot_loop.h"
#include "common/robot/recording/tick_log.h"
#include "common/tensor/trace_codec.h"
#include "services/replay/replay_client.h"
#include "services/robot_gateway/applied_traces.h"
#include "services/robot_gateway/control_host.h"
#include "services/robot_gateway/core/operator_desk.h"
#include "services/robot_gateway/core/robot_setup.h"
#include "services/robot_gateway/core/state_board.h"
#include "services/robot_gateway/devices.h"
#include "services/robot_gateway/gateway_service.h"
#include "services/robot_gateway/policy_feed.h"
#include "services/robot_gateway/robot_gateway_metrics.h"
#include "services/robot_gateway/transition_recorder.h"
#include "services/robot_gateway/transition_uploader.h"
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
constexpr int kEpisodeCounterBits = 40;

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
  TickLogHeader LogHeader() const;
  absl::Status OpenTickLog();
  std::unique_ptr<ReplayWriter> OpenWriter();
  void OnAdopted(const demorl::snapshot::v1::SnapshotMetadata& metadata, absl::Time start);
  void AwaitMotorsOff(absl::Time deadline);
  void KeepHouse();
  void ReportTimings();
  void ReportState();

  Parts parts_;
  OperatorPanel panel_;
  StateBoard board_;
  AppliedTraces applied_traces_;
  SpscRing<TickRecord> records_;
  RobotLoop loop_;
  ControlHost host_;
  OperatorDesk desk_;
  std::unique_ptr<GatewayServiceImpl> service_;
  std::unique_ptr<RecordSpool> spool_;
  std::unique_ptr<SpoolDelivery> delivery_;
  std::unique_ptr<TickLog> tick_log_;
  std::unique_ptr<TransitionRecorder> recorder_;
  std::unique_ptr<TransitionUploader> uploader_;
  std::unique_ptr<PolicyFeed> policies_;
  StopSource stop_;
  std::thread housekeeping_;
  std::atomic<bool> started_ = false;
  absl::Mutex drain_mutex_;
  bool drained_ ABSL_GUARDED_BY(drain_mutex_) = false;
  absl::Status drain_status_ ABSL_GUARDED_BY(drain_mutex_);

  mutable absl::Mutex mutex_;
  absl::Duration worst_wake_up_ ABSL_GUARDED_BY(mutex_);
  absl::Duration worst_compute_ ABSL_GUARDED_BY(mutex_);
  // Of the housekeeping thread.
  RobotState reported_state_ = RobotState::kDisarmed;
  StopReason reported_reason_ = StopReason::kNone;
  uint64_t reported_dropped_ = 0;
  uint64_t reported_refused_ = 0;
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
      service_(std::make_unique<GatewayServiceImpl>(ServiceParts())) {}

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

TickLogHeader RobotGatewayComponent::LogHeader() const {
  const EnvironmentSpec& spec = parts_.task->spec();
  return {.robot_name = parts_.setup.name(),
          .schema_hash = spec.SchemaHash(),
          .num_joints = parts_.task->num_joints(),
          .observation_size = spec.observation_size,
          .action_size = spec.action_size,
          .control_period = spec.control_period,
          .acts_by_mean = parts_.setup.acts_by_mean(),
          .limits = LimitsOf(parts_.setup),
          .start_time = absl::Now()};
}

absl::Status RobotGatewayComponent::OpenTickLog() {
  TickLog::Options options{.folder = std::filesystem::path(parts_.data_dir) / "ticks",
                           .start_count = parts_.start_count,
                           .header = LogHeader()};
  const double num_ticks =
      absl::FDivDuration(absl::Seconds(parts_.setup.recording().tick_log_s()), control_period());
  options.max_bytes =
      static_cast<int64_t>(num_ticks * static_cast<double>(TickPacker(options.header).slot_bytes()));
  ASSIGN_OR_RETURN(tick_log_, TickLog::Create(options));
  spdlog::info("every tick goes to {} ({} ticks, {} MiB)", tick_log_->path().string(), tick_log_->capacity(),
               options.max_bytes >> 20);
  return absl::OkStatus();
}

absl::Status RobotGatewayComponent::Prepare() {
  RETURN_IF_ERROR(OpenTickLog());
  // One per run: what another run has left must not go to this one's replay.
  ASSIGN_OR_RETURN(
      spool_, RecordSpool::Open({.folder = std::filesystem::path(parts_.data_dir) / "spool" / parts_.run_id,
                                 .max_bytes = parts_.setup.recording().spool_bytes(),
                                 .when_full = RecordSpool::WhenFull::kDropOldest}));
  ASSIGN_OR_RETURN(delivery_, SpoolDelivery::Open(spool_.get()));
  const EnvironmentSpec& spec = parts_.task->spec();
  recorder_ = std::make_unique<TransitionRecorder>(
      TransitionRecorder::Options{
          .segments = {.observation_size = spec.observation_size,
                       .action_size = spec.action_size,
                       .max_segment_steps = parts_.setup.recording().chunk_steps(),
                       .first_episode_id = parts_.start_count << kEpisodeCounterBits}},
      TransitionRecorder::Parts{.ticks = &records_,
                                .log = tick_log_.get(),
                                .spool = spool_.get(),
                                .observe =
                                    [this](const TickRecord& record) {
                                      board_.Update(record);
                                      applied_traces_.OnTick(record);
                                    },
                                .trace_log = parts_.trace_log});
  uploader_ = std::make_unique<TransitionUploader>(
      TransitionUploader::Options{},
      TransitionUploader::Parts{.spool = spool_.get(), .delivery = delivery_.get(), .make_writer = [this] {
                                  return OpenWriter();
                                }});
  policies_ = std::make_unique<PolicyFeed>(PolicyFeed::Parts{
      .policies = parts_.snapshots->Watch(SNAPSHOT_KIND_POLICY),
      .spec = spec,
      .keep = [this](uint64_t version,
                     const std::string& payload) { return tick_log_->KeepPolicy(version, payload); },
      .adopted = [this](const demorl::snapshot::v1::SnapshotMetadata& metadata,
                        absl::Time start) { OnAdopted(metadata, start); },
      .offer = [this](std::unique_ptr<LoopPolicy> policy) { loop_.OfferPolicy(std::move(policy)); }});
  return absl::OkStatus();
}

void RobotGatewayComponent::OnAdopted(const demorl::snapshot::v1::SnapshotMetadata& metadata,
                                      absl::Time start) {
  parts_.metrics->policy_applied.Applied(PublishTime(metadata), absl::Now());
  applied_traces_.Offered(metadata.version(), DecodeTraceContexts(metadata.traces()), start);
}

std::unique_ptr<ReplayWriter> RobotGatewayComponent::OpenWriter() {
  return parts_.replay->OpenWriter({.table = "env",
                                    .writer_id = parts_.setup.name(),
                                    .writer_epoch = parts_.start_count,
                                    .environment = parts_.task->spec(),
                                    .simulated = false});
}

absl::Status RobotGatewayComponent::Start() {
  started_ = true;
  recorder_->Start();
  uploader_->Start();
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
    drain_status_ = recorder_->Drain(deadline);
    drain_status_.Update(uploader_->Drain(deadline));
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
  ComponentStatus status;
  status.state = started_ ? ComponentState::kRunning : ComponentState::kStarting;
  status.detail = summary.ticking ? std::string(Name(summary.last.state)) : "not started";
  if (summary.last.reason != StopReason::kNone) {
    absl::StrAppend(&status.detail, " (", Name(summary.last.reason), ")");
  }
  if (const std::string holder = desk_.holder(); !holder.empty()) {
    absl::StrAppend(&status.detail, ", held by ", holder);
  }
  status.figures["ticks"] = static_cast<double>(timings.num_ticks);
  status.figures["missed_ticks"] = static_cast<double>(timings.num_missed);
  status.figures["episodes"] = static_cast<double>(summary.episodes);
  status.figures["last_return"] = summary.last_return;
  const TransitionRecorder::Figures recorded = recorder_->figures();
  const TransitionUploader::Figures uploaded = uploader_->figures();
  status.figures["rows_recorded"] = static_cast<double>(recorded.segments.rows);
  status.figures["rows_dropped"] = static_cast<double>(recorded.rows_dropped);
  status.figures["rows_sent"] = static_cast<double>(uploaded.rows_sent);
  status.figures["rows_durable"] = static_cast<double>(uploaded.rows_durable);
  status.figures["spool_bytes"] = static_cast<double>(spool_->figures().bytes);
  absl::StrAppend(&status.detail, "; ", uploaded.detail);
  status.figures["policy_version"] = static_cast<double>(policies_->version());
  return status;
}

GatewayServiceImpl::Figures RobotGatewayComponent::Figures() {
  const ControlHost::Timings timings = host_.timings();
  GatewayServiceImpl::Figures figures{
      .num_ticks = timings.num_ticks,
      .num_missed_ticks = timings.num_missed,
      .rows_recorded = static_cast<uint64_t>(recorder_->figures().segments.rows),
      .rows_durable = static_cast<uint64_t>(uploader_->figures().rows_durable),
      .rows_intervened = static_cast<uint64_t>(recorder_->figures().segments.operator_rows),
      .spool_bytes = static_cast<uint64_t>(spool_->figures().bytes),
      .degraded = host_.degraded()};
  absl::MutexLock lock(&mutex_);
  figures.worst_wake_up = std::exchange(worst_wake_up_, absl::ZeroDuration());
  figures.worst_compute = std::exchange(worst_compute_, absl::ZeroDuration());
  return figures;
}

void RobotGatewayComponent::KeepHouse() {
  loop_.CollectOldPolicies();
  // Without an answer of replay yet, a policy tells that learning has begun.
  const int64_t rows = uploader_->figures().rows_in_table;
  loop_.SetLearningStarted(rows >= parts_.learning_starts || (rows == 0 && policies_->version() > 0));
  ReportTimings();
  ReportState();
}

void RobotGatewayComponent::ReportTimings() {
  RobotGatewayMetrics& metrics = *parts_.metrics;
  host_.TakeTimings([&](const TickTiming& timing) {
    metrics.wake_up_s.Observe(1e-9 * static_cast<double>(timing.wake_up_latency_ns));
    metrics.compute_s.Observe(1e-9 * static_cast<double>(timing.compute_ns));
    metrics.ticks.Increment();
    metrics.missed_ticks.Increment(static_cast<double>(timing.missed));
    absl::MutexLock lock(&mutex_);
    worst_wake_up_ = std::max(worst_wake_up_, absl::Nanoseconds(timing.wake_up_latency_ns));
    worst_compute_ = std::max(worst_compute_, absl::Nanoseconds(timing.compute_ns));
  });
}

void RobotGatewayComponent::ReportState() {
  RobotGatewayMetrics& metrics = *parts_.metrics;
  const StateBoard::Summary summary = board_.Get();
  const RobotState state = summary.last.state;
  const StopReason reason = summary.last.reason;
  if (state != reported_state_ || (reason != reported_reason_ && state != RobotState::kDisarmed)) {
    spdlog::info("{}: {}{}", parts_.setup.name(), std::string(Name(state)),
                 reason == StopReason::kNone ? "" : absl::StrCat(" (", Name(reason), ")"));
    reported_state_ = state;
    reported_reason_ = reason;
  }
  for (int i = 0; i < kNumRobotStates; ++i) {
    metrics.states[i]->Set(static_cast<int>(state) == i ? 1 : 0);
  }
  for (int i = 0; i < kNumClamps; ++i) {
    metrics.clamps[i]->Increment(static_cast<double>(summary.clamps[i]) - metrics.clamps[i]->Value());
  }
  for (size_t i = 0; summary.ticking && i < metrics.joints.size(); ++i) {
    metrics.joints[i].temperature.Set(summary.last.measured[i].temperature_c);
    metrics.joints[i].voltage.Set(summary.last.measured[i].voltage_v);
    metrics.joints[i].torque.Set(summary.last.measured[i].torque_nm);
  }
  metrics.spool_bytes.Set(static_cast<double>(spool_->figures().bytes));
  metrics.episodes.Increment(static_cast<double>(summary.episodes) - metrics.episodes.Value());
  metrics.last_return.Set(summary.last_return);
  metrics.policy_version.Set(static_cast<double>(policies_->version()));
  const uint64_t dropped = loop_.num_dropped_records(), refused = policies_->num_refused();
  metrics.dropped_records.Increment(static_cast<double>(dropped - std::exchange(reported_dropped_, dropped)));
  metrics.policies_refused.Increment(
      static_cast<double>(refused - std::exchange(reported_refused_, refused)));
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
