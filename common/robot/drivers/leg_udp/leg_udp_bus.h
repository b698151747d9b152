#pragma once

#include <array>
#include <memory>
#include <numbers>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/robot/drivers/actuator_bus.h"
#include "common/robot/drivers/leg_udp/leg_datagrams.h"
#include "common/robot/transport/udp_socket.h"

namespace demorl {

struct LegUdpOptions {
  // Of the bridge.
  std::string host;
  int port = kLegBridgePort;
  // What one revolution of each motor turns its joint: gearings of 6 and 8.18 to 1.
  std::array<double, kNumLegJoints> rad_per_revolution = {2 * std::numbers::pi / 6,
                                                          2 * std::numbers::pi / 8.18};
  // What the bridge calls 1 N m at the joint.
  std::array<double, kNumLegJoints> torque_per_nm = {1, 1};
  // Of the calls that block.
  absl::Duration reply_timeout = absl::Milliseconds(50);
  // ClearFaults asks so often, as the authors' reset does.
  int num_reset_requests = 60;
};

// The StochLab leg behind its UDP bridge. The bridge knows torques only and has no watchdog: it keeps the
// last ones. Damping and positions are made of the last measurement here, and become no torque once that is
// older than 20 ms; a bus that ends sends zero torques.
//
// Replies carry no number, but come to the port that asked. Reads ask from several ports in turn, so that a
// reply of an earlier read is known as late.
class LegUdpBus final : public ActuatorBus {
 public:
  // NOT_FOUND for an unknown host; INVALID_ARGUMENT for conversions that are zero or not finite.
  static absl::StatusOr<std::unique_ptr<LegUdpBus>> Create(const LegUdpOptions& options);
  ~LegUdpBus() override;

  int num_joints() const override { return kNumLegJoints; }
  absl::StatusOr<std::vector<ActuatorInfo>> Identify() override;
  absl::Status Configure(absl::Duration watchdog_timeout) override;
  absl::Status ClearFaults() override;
  BusResult Read(absl::Duration deadline, std::span<JointMeasurement> measurements) override;
  // kIncomplete, and no torque on that joint, if a command is not finite: without a watchdog, silence would
  // keep the torque of before.
  BusResult Write(std::span<const JointCommand> commands) override;
  BusCounters counters() const override { return counters_; }
  std::string DescribeFault(uint32_t fault) const override;

 private:
  // A late reply of more reads ago than this would be taken for new.
  static constexpr size_t kNumReadPorts = 16;

  explicit LegUdpBus(const LegUdpOptions& options) : options_(options) {}

  absl::Status Exchange(const LegRequest& request);
  void Drain(UdpSocket& socket, uint64_t* count);
  IoResult AwaitReply(UdpSocket& socket, absl::Duration deadline, LegReply& reply);
  void Store(const LegReply& reply, std::span<JointMeasurement> measurements);
  bool TorqueOf(const JointCommand& command, const JointMeasurement& last, double& torque_nm) const;

  const LegUdpOptions options_;
  std::array<std::unique_ptr<UdpSocket>, kNumReadPorts> read_sockets_;
  size_t next_read_ = 0;
  // Its replies are not needed.
  std::unique_ptr<UdpSocket> write_socket_;
  // As sent last, in the bridge's unit.
  LegRequest request_;
  std::array<double, kNumLegJoints> torque_nm_ = {};
  std::array<JointMeasurement, kNumLegJoints> last_;
  BusCounters counters_;
};

}  // namespace demorl
