#pragma once

#include <array>
#include <numbers>
#include <span>

#include "absl/time/time.h"
#include "common/robot/drivers/leg_udp/leg_datagrams.h"
#include "common/robot/emulation/device_emulator.h"

namespace demorl {

struct LegBridgeEmulatorOptions {
  // As in LegUdpOptions.
  std::array<double, kNumLegJoints> rad_per_revolution = {2 * std::numbers::pi / 6,
                                                          2 * std::numbers::pi / 8.18};
  std::array<double, kNumLegJoints> torque_per_nm = {1, 1};
  // The plant's joints that the two motors drive.
  std::array<int, kNumLegJoints> joints = {0, 1};
};

// The bridge of the leg, datagram by datagram. Like a DeviceEmulator it knows no threads and no real time. It
// keeps the last torques until others come, as it has no watchdog. Of one thread.
class LegBridgeEmulator {
 public:
  explicit LegBridgeEmulator(const LegBridgeEmulatorOptions& options) : options_(options) {}

  // Takes one datagram; true if `reply` holds its answer. Others are dropped in silence.
  bool Receive(std::span<const uint8_t> datagram, LegReply& reply);

  // As DeviceEmulator::Step.
  void Step(const RobotPlant& plant, std::span<double> torques_nm);

  int num_resets() const { return num_resets_; }
  const std::array<double, kNumLegJoints>& torques_nm() const { return torques_nm_; }

 private:
  const LegBridgeEmulatorOptions options_;
  std::array<double, kNumLegJoints> torques_nm_ = {};
  LegReply state_;
  int num_resets_ = 0;
};

}  // namespace demorl
