#pragma once

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/robot/drivers/actuator_bus.h"
#include "common/robot/drivers/moteus/moteus_command.h"
#include "common/robot/transport/can_port.h"

namespace demorl {

struct MoteusBusOptions {
  // In the order of the joints.
  std::vector<MoteusActuator> actuators;
  // Of the calls that block.
  absl::Duration reply_timeout = absl::Milliseconds(50);
};

// moteus controllers on one CAN-FD bus, or one on a UART. Faults and the timeout mode are latched here, too,
// so that stopping a motor, which clears them on the device, clears nothing for the robot.
//
// kTorque is position mode with all gains scaled to zero; kDamping is the zero velocity mode, which knows no
// watchdog and whose torque the device bounds by servo.timeout_max_torque_Nm.
//
// Each round of questions asks for replies to another address, so that a reply of an earlier round is known
// as late. Nothing else on the bus may have an id among these addresses, 64 to 95.
class MoteusBus final : public ActuatorBus {
 public:
  // INVALID_ARGUMENT for ids out of range or twice, and for gains that are not positive.
  static absl::StatusOr<std::unique_ptr<MoteusBus>> Create(const MoteusBusOptions& options,
                                                           std::unique_ptr<CanPort> port);

  int num_joints() const override { return static_cast<int>(joints_.size()); }
  absl::StatusOr<std::vector<ActuatorInfo>> Identify() override;
  // Also INVALID_ARGUMENT for a watchdog of less than 1 ms or more than 32 s.
  absl::Status Configure(absl::Duration watchdog_timeout) override;
  absl::Status ClearFaults() override;
  BusResult Read(absl::Duration deadline, std::span<JointMeasurement> measurements) override;
  // kIncomplete if a command is not finite, or asks a joint with a latched fault for torque or a position;
  // such a command is not sent.
  BusResult Write(std::span<const JointCommand> commands) override;
  BusCounters counters() const override;
  std::string DescribeFault(uint32_t fault) const override;

 private:
  struct Joint {
    MoteusActuator actuator;
    uint32_t latched_fault = 0;
    bool is_asked_to_run = false;
    // It has said that it runs since it was asked to.
    bool is_active = false;
  };
  // What one reply to a query says.
  struct Report {
    int mode = 0;
    int fault = 0;
    double position_rev = 0;
    double velocity_rev_s = 0;
    double torque_nm = 0;
    double voltage_v = 0;
    double temperature_c = 0;
  };

  MoteusBus(const MoteusBusOptions& options, std::unique_ptr<CanPort> port);

  absl::StatusOr<CanFrame> Ask(const Joint& joint, const CanFrame& request);
  absl::StatusOr<Report> Stop(Joint& joint);
  absl::StatusOr<Report> AskReport(const Joint& joint, const CanFrame& request);
  absl::StatusOr<ActuatorInfo> IdentifyJoint(const Joint& joint);
  absl::Status PortError(const IoResult& result) const;

  void StartRound();
  bool IsReplyOf(const Joint& joint, const CanFrame& frame) const;
  bool Accept(const CanFrame& frame, std::span<JointMeasurement> measurements);
  bool ParseReport(const CanFrame& frame, Report& report);
  void Latch(Joint& joint, const Report& report);
  IoResult Send(Joint& joint, const JointCommand& command);

  const absl::Duration reply_timeout_;
  const std::unique_ptr<CanPort> port_;
  std::vector<Joint> joints_;
  // -1 for an id that is not ours.
  std::array<int8_t, 128> joint_of_id_;
  double watchdog_s_ = 0.1;
  // Where the replies of this round go.
  uint32_t reply_address_;
  BusCounters counters_;
};

}  // namespace demorl
