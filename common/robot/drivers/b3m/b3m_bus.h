#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/base/clock.h"
#include "common/robot/drivers/actuator_bus.h"
#include "common/robot/drivers/b3m/b3m_line.h"
#include "common/robot/drivers/servo_wires.h"

namespace demorl {

// Gains of the servo's own position control, in its own units: the manual gives no scale.
struct B3mGains {
  uint32_t kp = 0;
  uint32_t kd = 0;
  uint32_t ki = 0;
};

struct B3mOptions {
  // In the order of the joints.
  std::vector<ServoAddress> servos;
  int baud_rate = b3m::kDefaultBaudRate;
  // The adapters hand the host its own bytes back.
  bool echo = false;
  // Of B3M-SC-1170-A: 7.6 N m at 5.4 A.
  double torque_constant_nm_a = 7.6 / 5.4;
  double max_torque_nm = 7.6;
  // Expected model code (registers A2..A9), where known. Kondo publishes no list of them; Identify tells what
  // it has found.
  std::optional<std::array<uint8_t, 8>> model_code;
  // Written by Configure; without, the servos keep theirs.
  std::optional<B3mGains> position_gains;
  // How long a servo may think before it answers in the loop, and before the loop.
  absl::Duration reply_timeout = absl::Milliseconds(2);
  absl::Duration setup_timeout = absl::Milliseconds(20);
};

// Kondo B3M servos on one or several half-duplex RS-485 wires, read in parallel over the wires. A tick costs
// one write to all servos of a wire (3 bytes a servo) and one read of each (48 bytes a servo both ways).
//
// kTorque: current control by target torque. kPosition: the servo's position control without trajectory.
// Differs: stiffness, damping, velocity and torque of a position command are not used; the servo's gains are
// set by Configure alone, and it bounds the torque by its own current limit. kDamping: the servo's hold mode
// (its brake), of which no strength can be set. A mode that changes is written in three ticks, as nobody
// confirms it; each read tells the mode, and a servo that has left a powered mode by itself has kModeLost and
// is not switched on again.
//
// Differs: the register of the velocity ends at 328 deg/s, which a knee of a trotting robot passes; beyond
// most of that range the velocity is that of the positions since the last tick.
//
// The servos have no watchdog: another process must free the bus if this one dies (b3m::EncodeFreeAll).
class B3mBus final : public ActuatorBus {
 public:
  // Of `fault`, beside the bits of b3m::ErrorStatus: the servo is not in the mode that it was put into.
  static constexpr uint32_t kModeLost = 0x80;

  // INVALID_ARGUMENT for servos that share wire and id or lie on no wire, and numbers out of range. `clock`
  // is that of the streams.
  static absl::StatusOr<std::unique_ptr<B3mBus>> Create(const B3mOptions& options,
                                                        std::vector<std::unique_ptr<ByteStream>> wires,
                                                        const Clock* clock = &RealClock::Get());

  int num_joints() const override { return static_cast<int>(joints_.size()); }
  absl::StatusOr<std::vector<ActuatorInfo>> Identify() override;
  // The servos have no watchdog to set.
  absl::Status Configure(absl::Duration watchdog_timeout) override;
  // Resets the servos that report a fault, which ends whatever they latch.
  absl::Status ClearFaults() override;
  BusResult Read(absl::Duration deadline, std::span<JointMeasurement> measurements) override;
  BusResult Write(std::span<const JointCommand> commands) override;
  BusCounters counters() const override { return SumOfCounters(wires_); }
  std::string DescribeFault(uint32_t fault) const override;

 private:
  struct Joint {
    ServoAddress servo;
    // As written last.
    uint8_t mode = 0;
    // In how many more ticks to write it.
    int mode_writes_left = 0;
    // As read last: ErrorStatus, system and motor status in the next two bytes, kModeLost.
    uint32_t fault = 0;
    // Of the last reply; a time of zero before the first.
    absl::Duration read_time;
    double position_rad = 0;
  };
  // A wire, and where it is in a Read.
  struct Wire {
    std::unique_ptr<ByteStream> stream;
    std::unique_ptr<b3m::Line> line;
    std::vector<int> joints;
    size_t next = 0;
    // The joint whose status bytes to read when all have been asked; -1 for none.
    int suspect = -1;
    bool asks_status = false;
    // Bytes read beyond those needed, changed after each reply that stayed away: an old one has another
    // length.
    uint8_t extra_bytes = 0;
    bool busy = false;
  };

  B3mBus(const B3mOptions& options, std::vector<std::unique_ptr<ByteStream>> wires, const Clock* clock);

  // Reading, in b3m_bus.cc.
  void AskNext(Wire& wire, absl::Duration deadline);
  bool Serve(Wire& wire, absl::Duration wait_until, absl::Duration deadline,
             std::span<JointMeasurement> measurements);
  void TakeBlock(Wire& wire, int joint, const b3m::Packet& reply, JointMeasurement& measurement);
  void TakeStatus(int joint, const b3m::Packet& reply);
  double Velocity(Joint& joint, double register_rad_s, const JointMeasurement& measurement);
  uint32_t CheckMode(Joint& joint, uint8_t mode);

  // Writing, in b3m_bus.cc.
  void PlanMode(Joint& joint, const JointCommand& command);
  size_t EncodeCommands(const Wire& wire, std::span<const JointCommand> commands, std::span<uint8_t> out);

  // Before the loop, in b3m_setup.cc.
  absl::StatusOr<std::vector<uint8_t>> Ask(int joint, b3m::Command command, size_t reply_data_bytes,
                                           std::span<const uint8_t> packet, const char* what);
  absl::StatusOr<std::vector<uint8_t>> ReadMemory(int joint, uint8_t address, uint8_t num_bytes,
                                                  const char* what);
  absl::Status WriteMemory(int joint, uint8_t address, std::span<const uint8_t> data, const char* what);
  absl::StatusOr<ActuatorInfo> IdentifyJoint(int joint);
  absl::Status ConfigureJoint(int joint);
  absl::Status FreeAll();
  absl::Status Restart(int joint);
  std::string Name(int joint) const { return Describe(joints_[joint].servo, joint); }

  const B3mOptions options_;
  const Clock* const clock_;
  std::vector<Joint> joints_;
  std::vector<Wire> wires_;
};

}  // namespace demorl
