#include "common/robot/drivers/dynamixel/dynamixel_bus.h"

#include <algorithm>
#include <utility>

namespace demorl {
namespace {

using dxl::Line;

// What a tick reads of each device: current, velocity, position. A part of the moving status and the PWM
// stand before them.
constexpr uint16_t kStateBytes = dxl::kPresentPosition + 4 - dxl::kPresentCurrent;
constexpr uint8_t kExtraLengths = 4;

struct Block {
  uint16_t address;
  uint16_t num_bytes;
};
// In the order of Detail.
constexpr Block kDetails[] = {
    {dxl::kTorqueEnable, dxl::kHardwareError + 1 - dxl::kTorqueEnable},
    {dxl::kBusWatchdog, 1},
    {dxl::kPresentVoltage, dxl::kPresentTemperature + 1 - dxl::kPresentVoltage},
};

}  // namespace

DynamixelBus::DynamixelBus(const DynamixelOptions& options, std::vector<std::unique_ptr<ByteStream>> wires,
                           const Clock* clock)
    : options_(options), clock_(clock), wires_(wires.size()) {
  for (const ServoAddress& servo : options.servos) {
    wires_[servo.wire].joints.push_back(num_joints());
    wires_[servo.wire].ids.push_back(servo.id);
    joints_.push_back({.servo = servo});
  }
  for (size_t i = 0; i < wires_.size(); ++i) {
    Wire& wire = wires_[i];
    wire.stream = std::move(wires[i]);
    wire.line = std::make_unique<Line>(wire.stream.get(), clock, options.baud_rate, options.echo, wire.ids);
  }
}

BusResult DynamixelBus::Read(absl::Duration deadline, std::span<JointMeasurement> measurements) {
  MarkAsOld(measurements);
  for (Wire& wire : wires_) {
    CheckPause(wire);
    AskStates(wire, deadline);
  }
  ServeInTurn(wires_, *clock_, deadline, [&](Wire& wire, absl::Duration wait_until) {
    return Serve(wire, wait_until, deadline, measurements);
  });
  return ResultOf(wires_, AllFresh(measurements));
}

void DynamixelBus::AskStates(Wire& wire, absl::Duration deadline) {
  std::array<uint8_t, dxl::kMaxPacketBytes> packet;
  wire.reads_detail = false;
  wire.busy = false;
  wire.suspect = -1;
  if (wire.ids.empty()) {
    return;
  }
  const auto instruction = wire.fast ? dxl::Instruction::kFastSyncRead : dxl::Instruction::kSyncRead;
  const uint16_t num_bytes = kStateBytes + wire.extra_bytes;
  const size_t size =
      dxl::EncodeSyncRead(instruction, dxl::kPresentCurrent - wire.extra_bytes, num_bytes, wire.ids, packet);
  Line::Request request{.answer = wire.fast ? Line::Answer::kFast : Line::Answer::kEach,
                        .ids = wire.ids,
                        .data_bytes = num_bytes};
  const absl::Duration now = clock_->Now();
  request.deadline = std::min(deadline, now + wire.line->RoundTrip(request, size) + options_.reply_timeout);
  wire.busy = wire.line->Ask(request, std::span(packet).first(size));
  wire.spoke_at = wire.busy ? now : wire.spoke_at;
}

// One detail of one device: of the one with an alert its errors, else in turn.
void DynamixelBus::AskDetail(Wire& wire, absl::Duration deadline) {
  std::array<uint8_t, 16> packet;
  wire.reads_detail = true;
  if (wire.suspect >= 0) {
    wire.detail = Detail::kErrors;
    wire.detail_index = static_cast<size_t>(wire.suspect);
  } else {
    wire.detail = static_cast<Detail>(wire.turn % kNumDetails);
    wire.detail_index = wire.turn / kNumDetails % wire.joints.size();
    ++wire.turn;
  }
  const Block& block = kDetails[static_cast<size_t>(wire.detail)];
  const size_t size = dxl::EncodeRead(wire.ids[wire.detail_index], block.address, block.num_bytes, packet);
  Line::Request request{.ids = std::span(wire.ids).subspan(wire.detail_index, 1),
                        .data_bytes = block.num_bytes};
  request.deadline =
      std::min(deadline, clock_->Now() + wire.line->RoundTrip(request, size) + options_.reply_timeout);
  wire.busy = wire.line->Ask(request, std::span(packet).first(size));
}

// True if something came of it, so that looking again may be worth it.
bool DynamixelBus::Serve(Wire& wire, absl::Duration wait_until, absl::Duration deadline,
                         std::span<JointMeasurement> measurements) {
  Line::Status status;
  const Line::Event event = wire.line->Poll(wait_until, status);
  if (event == Line::Event::kNothing) {
    return false;
  }
  if (event == Line::Event::kStatus && wire.reads_detail) {
    TakeDetail(wire, status);
  } else if (event == Line::Event::kStatus) {
    TakeState(wire, status, measurements);
  } else if (!wire.reads_detail) {
    wire.extra_bytes = (wire.extra_bytes + 1) % kExtraLengths;
  }
  if (wire.line->waiting()) {
    return true;
  }
  if (wire.reads_detail || event == Line::Event::kBroken) {
    wire.busy = false;
  } else {
    AskDetail(wire, deadline);
  }
  return true;
}

void DynamixelBus::TakeState(Wire& wire, const Line::Status& status,
                             std::span<JointMeasurement> measurements) {
  const int index = wire.joints[status.index];
  Joint& joint = joints_[index];
  if (status.data.empty()) {
    return;
  }
  const std::span<const uint8_t> state = status.data.subspan(wire.extra_bytes);
  joint.measured = true;
  joint.velocity_rad_s = dxl::LoadI32(state, 2) * dxl::kVelocityUnitRadS;
  joint.position_rad = (dxl::LoadI32(state, 6) - dxl::kPositionZero) * dxl::kPositionUnitRad;
  if ((status.error & dxl::kAlert) != 0 && (joint.fault & 0xFF) == 0) {
    joint.fault |= kAlert;
    wire.suspect = static_cast<int>(status.index);
  }
  JointMeasurement& measurement = measurements[index];
  measurement.time = clock_->Now();
  measurement.fresh = true;
  measurement.position_rad = joint.position_rad;
  measurement.velocity_rad_s = joint.velocity_rad_s;
  // Differs: a device without current tells its load, a share of what it can.
  const double current = dxl::LoadI16(state, 0);
  if (joint.model != nullptr) {
    measurement.torque_nm = joint.model->has_current
                                ? current * dxl::kCurrentUnitA * joint.model->torque_constant_nm_a
                                : current * 1e-3 * joint.model->stall_torque_nm;
  }
  measurement.temperature_c = joint.temperature_c;
  measurement.voltage_v = joint.voltage_v;
  measurement.fault = joint.fault;
}

void DynamixelBus::TakeDetail(Wire& wire, const Line::Status& status) {
  Joint& joint = joints_[wire.joints[wire.detail_index]];
  const std::span<const uint8_t> data = status.data;
  if (data.empty()) {
    return;
  }
  switch (wire.detail) {
    case Detail::kErrors: {
      const bool torque_on = data[0] != 0;
      joint.fault = (joint.fault & ~(0xFFu | kAlert)) | data[dxl::kHardwareError - dxl::kTorqueEnable];
      if (joint.torque_writes_left > 0 || torque_on == joint.torque_on) {
        break;
      }
      if (torque_on) {
        joint.torque_writes_left = 1;  // it should be off
      } else {
        joint.fault |= kTorqueLost;
      }
      break;
    }
    case Detail::kWatchdog:
      joint.fault |= data[0] == dxl::kWatchdogTripped ? kWatchdog : 0;
      break;
    case Detail::kSupply:
      joint.voltage_v = 0.1 * dxl::LoadU16(data, 0);
      joint.temperature_c = data[2];
      break;
  }
}

}  // namespace demorl
