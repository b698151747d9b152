#include "services/robot_gateway/devices.h"

#include <algorithm>
#include <array>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/base/status_macros.h"
#include "common/robot/control/calibrated_bus.h"
#include "common/robot/control/reopening_bus.h"
#include "common/robot/control/reopening_imu.h"
#include "common/robot/control/watched_bus.h"
#include "common/robot/drivers/b3m/b3m_bus.h"
#include "common/robot/drivers/dynamixel/dynamixel_bus.h"
#include "common/robot/drivers/imu/rvc_imu.h"
#include "common/robot/drivers/imu/vectornav_imu.h"
#include "common/robot/drivers/imu/xsens_imu.h"
#include "common/robot/drivers/leg_udp/leg_udp_bus.h"
#include "common/robot/drivers/moteus/fdcanusb_port.h"
#include "common/robot/drivers/moteus/moteus_bus.h"
#include "common/robot/safety/bus_watchdog_client.h"
#include "common/robot/transport/can_socket.h"
#include "common/robot/transport/serial_port.h"
#include "services/robot_gateway/core/robot_setup.h"
#include "spdlog/spdlog.h"

namespace demorl {
namespace {

using demorl::config::v1::ActuatorBusSetup;
using demorl::config::v1::ImuSetup;
using demorl::config::v1::JointSetup;
using demorl::config::v1::RobotSetup;

// A USB adapter ignores it, a controller's UART is made for it.
constexpr int kMoteusBaudRate = 921600;

// Of SCHED_FIFO: what watches the loop must run when the loop hangs.
int PriorityAbove(int loop_priority) { return loop_priority == 0 ? 0 : std::min(loop_priority + 1, 99); }

absl::Status CheckNumPorts(const RobotSetup& setup, int allowed) {
  if (setup.bus().ports_size() == allowed) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat("robot.bus.ports has ", setup.bus().ports_size(), " entries; ",
                   ActuatorBusSetup::Protocol_Name(setup.bus().protocol()), " takes ", allowed));
}

absl::StatusOr<std::unique_ptr<SerialPort>> OpenPort(const RobotSetup& setup, int index,
                                                     int usual_baud_rate) {
  return SerialPort::Open(
      {.path = setup.bus().ports(index),
       .baud_rate = setup.bus().has_baud_rate() ? setup.bus().baud_rate() : usual_baud_rate});
}

absl::StatusOr<std::vector<std::unique_ptr<ByteStream>>> OpenWires(const RobotSetup& setup, int baud_rate) {
  std::vector<std::unique_ptr<ByteStream>> wires;
  for (int i = 0; i < setup.bus().ports_size(); ++i) {
    ASSIGN_OR_RETURN(wires.emplace_back(), OpenPort(setup, i, baud_rate));
  }
  return wires;
}

// The way to moteus controllers, as frames.
absl::StatusOr<std::unique_ptr<CanPort>> OpenCanPort(const RobotSetup& setup) {
  if (setup.bus().protocol() == ActuatorBusSetup::PROTOCOL_MOTEUS_CAN) {
    return CanSocket::Open(setup.bus().ports(0));
  }
  ASSIGN_OR_RETURN(std::unique_ptr<SerialPort> port, OpenPort(setup, 0, kMoteusBaudRate));
  const bool checksums = setup.bus().protocol() == ActuatorBusSetup::PROTOCOL_MOTEUS_UART;
  return std::make_unique<FdcanusbPort>(FdcanusbOptions{.checksums = checksums}, std::move(port));
}

absl::StatusOr<std::unique_ptr<ActuatorBus>> OpenMoteus(const RobotSetup& setup) {
  RETURN_IF_ERROR(CheckNumPorts(setup, 1));
  ASSIGN_OR_RETURN(std::unique_ptr<CanPort> port, OpenCanPort(setup));
  MoteusBusOptions options;
  for (const JointSetup& joint : setup.joints()) {
    options.actuators.push_back({.id = joint.actuator_id()});
  }
  return MoteusBus::Create(options, std::move(port));
}

// "host:port", or a host with the bridge's usual port.
absl::StatusOr<std::unique_ptr<ActuatorBus>> OpenLegUdp(const RobotSetup& setup) {
  RETURN_IF_ERROR(CheckNumPorts(setup, 1));
  const std::vector<std::string> parts = absl::StrSplit(setup.bus().ports(0), ':');
  LegUdpOptions options{.host = parts[0]};
  if (parts.size() > 2 || parts[0].empty() ||
      (parts.size() == 2 && !absl::SimpleAtoi(parts[1], &options.port))) {
    return absl::InvalidArgumentError(
        absl::StrCat("robot.bus.ports[0] is \"", setup.bus().ports(0), "\"; want host:port"));
  }
  return LegUdpBus::Create(options);
}

absl::StatusOr<std::unique_ptr<ActuatorBus>> OpenDynamixel(const RobotSetup& setup) {
  DynamixelOptions options;
  if (setup.bus().has_baud_rate()) {
    options.baud_rate = setup.bus().baud_rate();
  }
  for (const JointSetup& joint : setup.joints()) {
    options.servos.push_back({.wire = joint.port(), .id = static_cast<uint8_t>(joint.actuator_id())});
  }
  ASSIGN_OR_RETURN(std::vector<std::unique_ptr<ByteStream>> wires, OpenWires(setup, options.baud_rate));
  return DynamixelBus::Create(options, std::move(wires));
}

WatchedPort WatchB3mPort(const std::string& path, const SerialPort& port) {
  std::array<uint8_t, b3m::kFreeAllBytes> free_all;
  b3m::EncodeFreeAll(free_all);
  return {.name = path, .descriptor = port.descriptor(), .freeing_bytes = {free_all.begin(), free_all.end()}};
}

// The servos have no watchdog: a process of its own is it.
absl::StatusOr<std::unique_ptr<ActuatorBus>> OpenB3m(const RobotSetup& setup) {
  B3mOptions options;
  if (setup.bus().has_baud_rate()) {
    options.baud_rate = setup.bus().baud_rate();
  }
  for (const JointSetup& joint : setup.joints()) {
    options.servos.push_back({.wire = joint.port(), .id = static_cast<uint8_t>(joint.actuator_id())});
  }
  BusWatchdogClient::Options watch{
      .order = {.timeout = absl::Seconds(setup.safety().bus_watchdog_timeout_s()),
                .realtime_priority = PriorityAbove(setup.realtime().priority())}};
  std::vector<std::unique_ptr<ByteStream>> wires;
  for (int i = 0; i < setup.bus().ports_size(); ++i) {
    ASSIGN_OR_RETURN(std::unique_ptr<SerialPort> port, OpenPort(setup, i, options.baud_rate));
    watch.order.ports.push_back(WatchB3mPort(setup.bus().ports(i), *port));
    wires.push_back(std::move(port));
  }
  ASSIGN_OR_RETURN(std::unique_ptr<ActuatorBus> bus, B3mBus::Create(options, std::move(wires)));
  ASSIGN_OR_RETURN(std::unique_ptr<BusWatchdogClient> watchdog, BusWatchdogClient::Start(watch));
  for (const std::string& line : watchdog->degraded()) {
    spdlog::warn("degraded: bus watchdog: {}", line);
  }
  return std::make_unique<WatchedBus>(std::move(bus), std::move(watchdog));
}

absl::StatusOr<std::unique_ptr<ActuatorBus>> OpenDriver(const RobotSetup& setup) {
  switch (setup.bus().protocol()) {
    case ActuatorBusSetup::PROTOCOL_MOTEUS_FDCANUSB:
    case ActuatorBusSetup::PROTOCOL_MOTEUS_UART:
    case ActuatorBusSetup::PROTOCOL_MOTEUS_CAN:
      return OpenMoteus(setup);
    case ActuatorBusSetup::PROTOCOL_LEG_UDP:
      return OpenLegUdp(setup);
    case ActuatorBusSetup::PROTOCOL_DYNAMIXEL:
      return OpenDynamixel(setup);
    case ActuatorBusSetup::PROTOCOL_B3M:
      return OpenB3m(setup);
    default:
      return absl::InvalidArgumentError(absl::StrCat("robot.bus.protocol ",
                                                     ActuatorBusSetup::Protocol_Name(setup.bus().protocol()),
                                                     " has no driver in this gateway"));
  }
}

template <typename Options>
Options WithRate(const ImuSetup& setup, Options options) {
  if (setup.has_rate_hz()) {
    options.rate_hz = setup.rate_hz();
  }
  return options;
}

absl::StatusOr<std::unique_ptr<Imu>> OpenImuDriver(const ImuSetup& setup) {
  ASSIGN_OR_RETURN(std::unique_ptr<SerialPort> port,
                   SerialPort::Open({.path = setup.port(), .baud_rate = setup.baud_rate()}));
  switch (setup.protocol()) {
    case ImuSetup::PROTOCOL_XSENS:
      return std::make_unique<XsensImu>(WithRate(setup, XsensOptions{}), std::move(port));
    case ImuSetup::PROTOCOL_VECTORNAV:
      return std::make_unique<VectorNavImu>(WithRate(setup, VectorNavOptions{}), std::move(port));
    case ImuSetup::PROTOCOL_BNO08X_RVC:
      return std::make_unique<RvcImu>(std::move(port));
    default:
      return absl::InvalidArgumentError("robot.imu.protocol is not set");
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<ActuatorBus>> OpenActuatorBus(const RobotSetup& setup) {
  return ReopeningBus::Open([setup]() -> absl::StatusOr<std::unique_ptr<ActuatorBus>> {
    ASSIGN_OR_RETURN(std::unique_ptr<ActuatorBus> driver, OpenDriver(setup));
    return CalibratedBus::Create(std::move(driver), CalibrationOf(setup));
  });
}

absl::StatusOr<std::unique_ptr<Imu>> OpenImu(const RobotSetup& setup) {
  if (!setup.has_imu()) {
    return std::unique_ptr<Imu>();
  }
  return ReopeningImu::Open([imu = setup.imu()] { return OpenImuDriver(imu); });
}

}  // namespace demorl
