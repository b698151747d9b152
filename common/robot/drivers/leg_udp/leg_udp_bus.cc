#include "common/robot/drivers/leg_udp/leg_udp_bus.h"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/status_macros.h"

namespace demorl {
namespace {

constexpr absl::Duration kMaxMeasurementAge = absl::Milliseconds(20);
constexpr int kNumTries = 3;
// A lost one leaves the leg with its last torques, for ever.
constexpr int kNumFarewells = 3;
// More in one call would be a flood.
constexpr int kMaxDrained = 64;

bool IsFactor(double value) { return std::isfinite(value) && value != 0; }

// Nobody at the bridge's port is a missing answer: it may be started later.
bool MayComeBack(const IoResult& result) {
  return result.code == IoResult::Code::kTimedOut || result.error_number == ECONNREFUSED;
}

BusResult ToBusResult(const IoResult& result) {
  if (result.ok()) {
    return {};
  }
  if (MayComeBack(result)) {
    return {.code = BusResult::Code::kIncomplete};
  }
  return {.code = BusResult::Code::kFailed, .error_number = result.error_number};
}

}  // namespace

absl::StatusOr<std::unique_ptr<LegUdpBus>> LegUdpBus::Create(const LegUdpOptions& options) {
  for (size_t i = 0; i < kNumLegJoints; ++i) {
    if (!IsFactor(options.rad_per_revolution[i]) || !IsFactor(options.torque_per_nm[i])) {
      return absl::InvalidArgumentError(
          absl::StrCat("leg joint ", i, ": rad_per_revolution = ", options.rad_per_revolution[i],
                       ", torque_per_nm = ", options.torque_per_nm[i], "; want finite numbers other than 0"));
    }
  }
  std::unique_ptr<LegUdpBus> bus(new LegUdpBus(options));
  for (std::unique_ptr<UdpSocket>& socket : bus->read_sockets_) {
    ASSIGN_OR_RETURN(socket, UdpSocket::Connect(options.host, options.port));
  }
  ASSIGN_OR_RETURN(bus->write_socket_, UdpSocket::Connect(options.host, options.port));
  return bus;
}

LegUdpBus::~LegUdpBus() {
  for (int i = 0; i < kNumFarewells && write_socket_ != nullptr; ++i) {
    write_socket_->Send(EncodeLegMessage(LegRequest{}));
  }
}

// Throws away what has come to a port, counting it if `count` is given.
void LegUdpBus::Drain(UdpSocket& socket, uint64_t* count) {
  std::array<uint8_t, kLegReplyBytes> bytes;
  for (int i = 0; i < kMaxDrained && socket.Receive(bytes, absl::ZeroDuration()).ok(); ++i) {
    if (count != nullptr) {
      ++*count;
    }
  }
}

IoResult LegUdpBus::AwaitReply(UdpSocket& socket, absl::Duration deadline, LegReply& reply) {
  for (;;) {
    std::array<uint8_t, kLegReplyBytes> bytes;
    const IoResult received = socket.Receive(bytes, deadline);
    if (!received.ok()) {
      return received;
    }
    if (received.num_bytes == kLegReplyBytes && DecodeLegMessage(std::span<const uint8_t>(bytes), reply)) {
      return received;
    }
    ++counters_.bad_messages;
    if (RealClock::Get().Now() >= deadline) {
      return {.code = IoResult::Code::kTimedOut};
    }
  }
}

absl::Status LegUdpBus::Exchange(const LegRequest& request) {
  request_ = request;
  torque_nm_ = {};
  IoResult result;
  for (int i = 0; i < kNumTries; ++i) {
    UdpSocket& socket = *read_sockets_[next_read_++ % kNumReadPorts];
    Drain(socket, &counters_.late_or_duplicate_replies);
    result = socket.Send(EncodeLegMessage(request));
    LegReply reply;
    if (result.ok()) {
      result = AwaitReply(socket, RealClock::Get().Now() + options_.reply_timeout, reply);
    }
    if (result.ok()) {
      return absl::OkStatus();
    }
  }
  const std::string bridge = absl::StrCat("leg bridge ", options_.host, ":", options_.port);
  if (result.code == IoResult::Code::kTimedOut) {
    return absl::NotFoundError(absl::StrCat(bridge, ": no answer of ", kLegReplyBytes, " bytes to ",
                                            kNumTries, " requests; want the bridge running there"));
  }
  if (result.error_number == ECONNREFUSED) {
    return absl::NotFoundError(
        absl::StrCat(bridge, ": nothing listens at this port; want the bridge running there"));
  }
  return absl::UnavailableError(absl::StrCat(bridge, ": ", strerror(result.error_number)));
}

absl::StatusOr<std::vector<ActuatorInfo>> LegUdpBus::Identify() {
  RETURN_IF_ERROR(Exchange({}));
  std::vector<ActuatorInfo> infos;
  for (size_t i = 0; i < kNumLegJoints; ++i) {
    infos.push_back({.id = static_cast<int>(i), .model = "StochLab leg bridge"});
  }
  return infos;
}

absl::Status LegUdpBus::Configure(absl::Duration /*watchdog_timeout*/) { return Exchange({}); }

absl::Status LegUdpBus::ClearFaults() {
  for (int i = 0; i < options_.num_reset_requests; ++i) {
    RETURN_IF_ERROR(Exchange({.reset = 1}));
  }
  return Exchange({});
}

void LegUdpBus::Store(const LegReply& reply, std::span<JointMeasurement> measurements) {
  const absl::Duration now = RealClock::Get().Now();
  for (size_t i = 0; i < kNumLegJoints; ++i) {
    measurements[i] = {.time = now,
                       .fresh = true,
                       .position_rad = reply[i].position_rev * options_.rad_per_revolution[i],
                       .velocity_rad_s = reply[i].velocity_rev_s * options_.rad_per_revolution[i],
                       .torque_nm = torque_nm_[i]};  // the bridge does not tell: as commanded
    last_[i] = measurements[i];
  }
}

// Asks anew with the last torques, so that what is measured is of now.
BusResult LegUdpBus::Read(absl::Duration deadline, std::span<JointMeasurement> measurements) {
  DEMORL_CHECK(measurements.size() == kNumLegJoints);
  for (JointMeasurement& measurement : measurements) {
    measurement.fresh = false;
  }
  UdpSocket& socket = *read_sockets_[next_read_++ % kNumReadPorts];
  Drain(socket, &counters_.late_or_duplicate_replies);
  Drain(*write_socket_, nullptr);
  IoResult result = socket.Send(EncodeLegMessage(request_));
  LegReply reply;
  if (result.ok()) {
    result = AwaitReply(socket, deadline, reply);
  }
  if (result.ok()) {
    Store(reply, measurements);
  } else {
    counters_.missing_replies += 1;
  }
  return ToBusResult(result);
}

// False, and no torque, for a command that is not finite.
bool LegUdpBus::TorqueOf(const JointCommand& command, const JointMeasurement& last, double& torque_nm) const {
  const bool is_current =
      last.time != absl::ZeroDuration() && RealClock::Get().Now() - last.time <= kMaxMeasurementAge;
  double wanted_nm = 0;
  switch (command.mode) {
    case ActuatorMode::kFree:
      break;
    case ActuatorMode::kTorque:
      wanted_nm = command.torque_nm;
      break;
    case ActuatorMode::kDamping:
      wanted_nm = -command.damping_nm_s_rad * last.velocity_rad_s;
      break;
    case ActuatorMode::kPosition:
      wanted_nm = command.stiffness_nm_rad * (command.position_rad - last.position_rad) +
                  command.damping_nm_s_rad * (command.velocity_rad_s - last.velocity_rad_s) +
                  command.torque_nm;
      break;
  }
  torque_nm = 0;
  if (!std::isfinite(wanted_nm) || !(command.max_torque_nm >= 0)) {
    return false;
  }
  if (is_current || command.mode == ActuatorMode::kTorque) {
    torque_nm = std::clamp(wanted_nm, -command.max_torque_nm, command.max_torque_nm);
  }
  return true;
}

BusResult LegUdpBus::Write(std::span<const JointCommand> commands) {
  DEMORL_CHECK(commands.size() == kNumLegJoints);
  LegRequest request;
  std::array<double, kNumLegJoints> torque_nm = {};
  bool all_finite = true;
  for (size_t i = 0; i < kNumLegJoints; ++i) {
    all_finite = TorqueOf(commands[i], last_[i], torque_nm[i]) && all_finite;
    request.torque[i] = torque_nm[i] * options_.torque_per_nm[i];
  }
  Drain(*write_socket_, nullptr);
  const IoResult sent = write_socket_->Send(EncodeLegMessage(request));
  if (sent.ok()) {
    request_ = request;
    torque_nm_ = torque_nm;
  }
  BusResult result = ToBusResult(sent);
  if (result.ok() && !all_finite) {
    result.code = BusResult::Code::kIncomplete;
  }
  return result;
}

std::string LegUdpBus::DescribeFault(uint32_t fault) const {
  return fault == 0 ? "no fault" : "the leg bridge tells of no faults";
}

}  // namespace demorl
