#include "services/robot_gateway/gateway_service.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/rpc/grpc_status.h"
#include "grpcpp/alarm.h"
#include "services/robot_gateway/duration_proto.h"
#include "spdlog/spdlog.h"

namespace demorl {
namespace {

namespace pb = ::demorl::gateway::v1;
using ::grpc::CallbackServerContext;
using ::grpc::ServerUnaryReactor;

constexpr absl::Duration kMinInterval = absl::Milliseconds(20);

ServerUnaryReactor* FinishWith(CallbackServerContext* context, const absl::Status& status) {
  ServerUnaryReactor* reactor = context->DefaultReactor();
  reactor->Finish(ToGrpcStatus(status));
  return reactor;
}

bool IsLocal(const std::string& peer) {
  return absl::StartsWith(peer, "unix:") || absl::StartsWith(peer, "ipv4:127.") ||
         absl::StartsWith(peer, "ipv6:[::1]") || absl::StartsWith(peer, "ipv6:%5B::1%5D") ||
         peer == "unknown";  // within this process: sockets have addresses
}

pb::RobotState ToProto(RobotState state) {
  switch (state) {
    case RobotState::kDisarmed:
      return pb::ROBOT_STATE_DISARMED;
    case RobotState::kArming:
      return pb::ROBOT_STATE_ARMING;
    case RobotState::kArmed:
      return pb::ROBOT_STATE_ARMED;
    case RobotState::kHold:
      return pb::ROBOT_STATE_HOLD;
    case RobotState::kFault:
      return pb::ROBOT_STATE_FAULT;
  }
  return pb::ROBOT_STATE_UNSPECIFIED;
}

pb::ArmMode ToProto(ArmMode mode) {
  switch (mode) {
    case ArmMode::kLearn:
      return pb::ARM_MODE_LEARN;
    case ArmMode::kJog:
      return pb::ARM_MODE_JOG;
    case ArmMode::kDryRun:
      return pb::ARM_MODE_DRY_RUN;
  }
  return pb::ARM_MODE_UNSPECIFIED;
}

absl::StatusOr<ArmMode> FromProto(pb::ArmMode mode) {
  switch (mode) {
    case pb::ARM_MODE_LEARN:
      return ArmMode::kLearn;
    case pb::ARM_MODE_JOG:
      return ArmMode::kJog;
    case pb::ARM_MODE_DRY_RUN:
      return ArmMode::kDryRun;
    default:
      return absl::InvalidArgumentError(
          "mode is not set; want ARM_MODE_LEARN, ARM_MODE_JOG or ARM_MODE_DRY_RUN");
  }
}

void FillFigures(const GatewayServiceImpl::Figures& figures, pb::WatchStateResponse* response) {
  response->set_num_ticks(figures.num_ticks);
  response->set_num_missed_ticks(figures.num_missed_ticks);
  response->set_rows_recorded(figures.rows_recorded);
  response->set_rows_durable(figures.rows_durable);
  response->set_rows_intervened(figures.rows_intervened);
  response->set_spool_bytes(figures.spool_bytes);
  *response->mutable_worst_wake_up() = demorl::ToProto(figures.worst_wake_up);
  *response->mutable_worst_compute() = demorl::ToProto(figures.worst_compute);
  response->mutable_degraded()->Add(figures.degraded.begin(), figures.degraded.end());
}

}  // namespace

// One watcher: writes the state, waits for the interval, writes again; so either a write or the alarm is
// pending until the stream ends.
class GatewayServiceImpl::WatchReactor final : public grpc::ServerWriteReactor<pb::WatchStateResponse> {
 public:
  WatchReactor(GatewayServiceImpl* service, absl::Duration interval)
      : service_(*service), interval_(std::max(interval, kMinInterval)) {}

  void Begin() { WriteState(); }

  // Ends the stream at the next opportunity. Any thread.
  void End() {
    {
      absl::MutexLock lock(&mutex_);
      ending_ = true;
    }
    alarm_.Cancel();
  }

  void OnWriteDone(bool ok) override {
    if (!ok || !WaitForNext()) {
      EndStream();
    }
  }

  void OnCancel() override { End(); }

  void OnDone() override {
    {
      absl::MutexLock service_lock(&service_.mutex_);
      service_.watchers_.erase(this);
    }
    delete this;
  }

 private:
  // False if the stream is to end.
  bool WaitForNext() {
    absl::MutexLock lock(&mutex_);
    if (!ending_) {
      alarm_.Set(absl::ToChronoTime(absl::Now() + interval_), [this](bool) { OnAlarm(); });
    }
    return !ending_;
  }

  void OnAlarm() { IsEnding() ? EndStream() : WriteState(); }

  bool IsEnding() {
    absl::MutexLock lock(&mutex_);
    return ending_;
  }

  void WriteState() {
    response_.Clear();
    service_.FillState(&response_);
    StartWrite(&response_);
  }

  // The last thing done here: gRPC may call OnDone before Finish returns.
  void EndStream() { Finish(grpc::Status(grpc::StatusCode::UNAVAILABLE, "the gateway ends")); }

  GatewayServiceImpl& service_;
  const absl::Duration interval_;
  grpc::Alarm alarm_;
  pb::WatchStateResponse response_;
  absl::Mutex mutex_;
  bool ending_ ABSL_GUARDED_BY(mutex_) = false;
};

GatewayServiceImpl::GatewayServiceImpl(Parts parts) : parts_(std::move(parts)) {}

void GatewayServiceImpl::Close() {
  worker_.Close();
  absl::MutexLock lock(&mutex_);
  closed_ = true;
  for (WatchReactor* watcher : watchers_) {
    watcher->End();
  }
}

absl::Status GatewayServiceImpl::CheckRunId(const std::string& run_id) const {
  if (run_id == parts_.run_id) {
    return absl::OkStatus();
  }
  return absl::FailedPreconditionError(
      absl::StrCat("this gateway belongs to run ", parts_.run_id, ", the caller to run ", run_id));
}

ServerUnaryReactor* GatewayServiceImpl::Arm(CallbackServerContext* context, const pb::ArmRequest* request,
                                            pb::ArmResponse* response) {
  if (const absl::Status status = CheckRunId(request->run_id()); !status.ok()) {
    return FinishWith(context, status);
  }
  const absl::StatusOr<ArmMode> mode = FromProto(request->mode());
  if (!mode.ok()) {
    return FinishWith(context, mode.status());
  }
  const absl::StatusOr<OperatorDesk::Grant> grant =
      parts_.desk->Arm(request->holder(), FromProto(request->lease_duration()), *mode);
  if (grant.ok()) {
    spdlog::info("armed by {} ({})", request->holder(), pb::ArmMode_Name(request->mode()));
    response->set_lease_id(grant->lease_id);
    *response->mutable_lease_duration() = ToProto(grant->duration);
  } else {
    spdlog::warn("{} may not arm: {}", request->holder(), std::string(grant.status().message()));
  }
  return FinishWith(context, grant.status());
}

ServerUnaryReactor* GatewayServiceImpl::RenewLease(CallbackServerContext* context,
                                                   const pb::RenewLeaseRequest* request,
                                                   pb::RenewLeaseResponse* response) {
  const absl::StatusOr<OperatorDesk::Grant> grant = parts_.desk->Renew(request->lease_id());
  if (grant.ok()) {
    *response->mutable_lease_duration() = ToProto(grant->duration);
    response->set_state(ToProto(parts_.board->Get().last.state));
  }
  return FinishWith(context, grant.status());
}

ServerUnaryReactor* GatewayServiceImpl::Disarm(CallbackServerContext* context, const pb::DisarmRequest*,
                                               pb::DisarmResponse*) {
  spdlog::info("disarmed by {}", context->peer());
  parts_.desk->Disarm();
  return FinishWith(context, absl::OkStatus());
}

ServerUnaryReactor* GatewayServiceImpl::EmergencyStop(CallbackServerContext* context,
                                                      const pb::EmergencyStopRequest* request,
                                                      pb::EmergencyStopResponse*) {
  parts_.desk->EmergencyStop();
  spdlog::warn("emergency stop by {} ({})", request->origin(), context->peer());
  return FinishWith(context, absl::OkStatus());
}

ServerUnaryReactor* GatewayServiceImpl::ClearFault(CallbackServerContext* context,
                                                   const pb::ClearFaultRequest* request,
                                                   pb::ClearFaultResponse*) {
  if (const absl::Status status = CheckRunId(request->run_id()); !status.ok()) {
    return FinishWith(context, status);
  }
  if (!IsLocal(context->peer())) {
    return FinishWith(context,
                      absl::PermissionDeniedError(absl::StrCat(
                          "a fault is cleared on the gateway's own machine, not from ", context->peer())));
  }
  ServerUnaryReactor* reactor = context->DefaultReactor();
  const bool queued = worker_.TryRun([this, reactor] {
    const absl::Status status = parts_.desk->ClearFault(parts_.recover_devices);
    spdlog::info("clearing the fault: {}", status.ok() ? "done" : std::string(status.message()));
    reactor->Finish(ToGrpcStatus(status));
  });
  if (!queued) {
    reactor->Finish(
        grpc::Status(grpc::StatusCode::UNAVAILABLE, "the gateway ends, or clears a fault already"));
  }
  return reactor;
}

ServerUnaryReactor* GatewayServiceImpl::Jog(CallbackServerContext* context, const pb::JogRequest* request,
                                            pb::JogResponse*) {
  return FinishWith(context, parts_.desk->Jog(request->lease_id(), static_cast<int>(request->joint()),
                                              request->velocity_rad_s(), FromProto(request->duration())));
}

ServerUnaryReactor* GatewayServiceImpl::Intervene(CallbackServerContext* context,
                                                  const pb::InterveneRequest* request,
                                                  pb::InterveneResponse*) {
  const std::vector<float> action(request->action().begin(), request->action().end());
  return FinishWith(context,
                    parts_.desk->Intervene(request->lease_id(), action, FromProto(request->duration())));
}

grpc::ServerWriteReactor<pb::WatchStateResponse>* GatewayServiceImpl::WatchState(
    CallbackServerContext*, const pb::WatchStateRequest* request) {
  auto* reactor = new WatchReactor(this, FromProto(request->interval()));
  bool closed = false;
  {
    absl::MutexLock lock(&mutex_);
    closed = closed_;
    watchers_.insert(reactor);
  }
  if (closed) {
    reactor->End();
  }
  reactor->Begin();
  return reactor;
}

void GatewayServiceImpl::FillState(pb::WatchStateResponse* response) const {
  const StateBoard::Summary summary = parts_.board->Get();
  const TickRecord& last = summary.last;
  response->set_robot(parts_.robot_name);
  response->set_state(summary.ticking ? ToProto(last.state) : pb::ROBOT_STATE_UNSPECIFIED);
  if (last.reason != StopReason::kNone) {
    response->set_reason(std::string(Name(last.reason)));
  }
  response->set_holder(parts_.desk->holder());
  *response->mutable_control_period() = ToProto(parts_.control_period);
  response->set_mode(ToProto(last.mode));
  response->set_policy_version(last.policy_version);
  response->set_episodes(summary.episodes);
  response->set_last_return(summary.last_return);
  for (int i = 0; i < kNumClamps; ++i) {
    (*response->mutable_clamps())[std::string(Name(static_cast<Clamp>(i)))] = summary.clamps[i];
  }
  FillJoints(last, response);
  FillAction(last, response);
  FillFigures(parts_.figures(), response);
}

void GatewayServiceImpl::FillJoints(const TickRecord& last, pb::WatchStateResponse* response) const {
  const absl::Duration finished = absl::Nanoseconds(last.finished_ns);
  bool commands_finite = true;
  for (size_t i = 0; i < parts_.joint_names.size(); ++i) {
    const JointMeasurement& measured = last.measured[i];
    pb::JointState& joint = *response->add_joints();
    joint.set_name(parts_.joint_names[i]);
    joint.set_position_rad(measured.position_rad);
    joint.set_velocity_rad_s(measured.velocity_rad_s);
    joint.set_torque_nm(measured.torque_nm);
    joint.set_temperature_c(measured.temperature_c);
    joint.set_voltage_v(measured.voltage_v);
    if (measured.fault != 0) {
      joint.set_fault(parts_.describe_fault(measured.fault));
    }
    *joint.mutable_age() = ToProto(finished - measured.time);
    commands_finite = commands_finite && std::isfinite(last.requested[i].torque_nm) &&
                      std::isfinite(last.requested[i].position_rad);
  }
  response->set_commands_finite(commands_finite);
}

// What was chosen, and what an operator may choose.
void GatewayServiceImpl::FillAction(const TickRecord& last, pb::WatchStateResponse* response) const {
  // A jogging operator chooses no action.
  const bool intervening = last.source == ActionSource::kOperator && last.mode != ArmMode::kJog;
  if (intervening || last.source == ActionSource::kPolicy || last.source == ActionSource::kRandom) {
    response->mutable_action()->Add(last.action.begin(), last.action.begin() + parts_.action_size);
  }
  response->set_intervening(intervening);
  response->set_action_dimensions(static_cast<uint32_t>(parts_.action_size));
  for (const OperatorAxis& axis : parts_.operator_axes) {
    pb::OperatorAxis& shown = *response->add_operator_axes();
    shown.set_name(axis.name);
    shown.set_action_index(static_cast<uint32_t>(axis.action_index));
  }
}

}  // namespace demorl
