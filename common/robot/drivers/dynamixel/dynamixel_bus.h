#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "common/base/clock.h"
#include "common/robot/drivers/actuator_bus.h"
#include "common/robot/drivers/dynamixel/dynamixel_line.h"
#include "common/robot/drivers/dynamixel/dynamixel_table.h"
#include "common/robot/drivers/servo_wires.h"

namespace demorl {

// How all actuators of a bus are driven. An operating mode lives in EEPROM and changes only with the torque
// off, so it is chosen once.
enum class DynamixelControl : uint8_t {
  // Operating mode 0; not XL430.
  kCurrent,
  // Operating mode 5: the device's position control with a bound on the current; not XL430.
  kCurrentBasedPosition,
  // Operating mode 3.
  kPosition,
};

struct DynamixelOptions {
  // In the order of the joints.
  std::vector<ServoAddress> servos;
  int baud_rate = 1'000'000;
  // The adapters hand the host its own bytes back.
  bool echo = false;
  DynamixelControl control = DynamixelControl::kCurrent;
  // How long a device may think before it answers in the loop, and before the loop.
  absl::Duration reply_timeout = absl::Milliseconds(2);
  absl::Duration setup_timeout = absl::Milliseconds(20);
};

// DYNAMIXEL X-series actuators (dxl::kModels) on one or several wires. A tick costs one sync write and one
// fast sync read a wire (sync read if a firmware there is older than 45), and a short read of one device in
// turn: its errors, its bus watchdog, its temperature and voltage, which are thus some ticks old.
//
// Differs: the devices know no impedance. With kCurrent, kDamping and kPosition are computed here from the
// last Read, as often as Write is called. With the position controls, kPosition goes to the device's own
// control without stiffness, damping, velocity and torque; kDamping makes the goal follow the joint; kTorque
// cannot be had and frees the joint, with kNotPossible as its fault.
class DynamixelBus final : public ActuatorBus {
 public:
  // Of `fault`, beside the bits of dxl::HardwareError.
  // The bus watchdog has tripped, or must have by the time that passed without a message.
  static constexpr uint32_t kWatchdog = 0x100;
  // The torque is off though it was put on.
  static constexpr uint32_t kTorqueLost = 0x200;
  static constexpr uint32_t kNotPossible = 0x400;
  // The device reports an error that has not been asked for yet.
  static constexpr uint32_t kAlert = 0x800;

  // INVALID_ARGUMENT for actuators that share wire and id or lie on no wire, and numbers out of range.
  // `clock` is that of the streams.
  static absl::StatusOr<std::unique_ptr<DynamixelBus>> Create(const DynamixelOptions& options,
                                                              std::vector<std::unique_ptr<ByteStream>> wires,
                                                              const Clock* clock = &RealClock::Get());

  int num_joints() const override { return static_cast<int>(joints_.size()); }
  absl::StatusOr<std::vector<ActuatorInfo>> Identify() override;
  // Leaves a tripped watchdog as it is. Zero or infinite: no watchdog; else from 20 ms to 2.54 s, rounded up.
  absl::Status Configure(absl::Duration watchdog_timeout) override;
  // Restarts the actuators that report an error, and ends a trip of the watchdog.
  absl::Status ClearFaults() override;
  BusResult Read(absl::Duration deadline, std::span<JointMeasurement> measurements) override;
  BusResult Write(std::span<const JointCommand> commands) override;
  BusCounters counters() const override { return SumOfCounters(wires_); }
  std::string DescribeFault(uint32_t fault) const override;

 private:
  struct Joint {
    ServoAddress servo;
    // Once surveyed.
    const dxl::Model* model = nullptr;
    int firmware = 0;
    int current_limit = 0;
    int minimum_position = 0;
    int maximum_position = 0;
    // As commanded last.
    bool torque_on = false;
    int goal_current = 0;
    int goal_position = 0;
    // In how many more ticks to write these, as nobody confirms them.
    int torque_writes_left = 0;
    int current_writes_left = 0;
    // As read last.
    bool measured = false;
    double position_rad = 0;
    double velocity_rad_s = 0;
    double temperature_c = std::numeric_limits<double>::quiet_NaN();
    double voltage_v = std::numeric_limits<double>::quiet_NaN();
    uint32_t fault = 0;
  };
  // What is read of one device in turn.
  enum class Detail : uint8_t { kErrors, kWatchdog, kSupply };
  static constexpr int kNumDetails = 3;
  // A wire, and where it is in a Read.
  struct Wire {
    std::unique_ptr<ByteStream> stream;
    std::vector<int> joints;
    std::vector<uint8_t> ids;
    std::unique_ptr<dxl::Line> line;
    bool fast = false;
    bool busy = false;
    bool reads_detail = false;
    // Counts through the details of all devices.
    size_t turn = 0;
    // The joint and detail being read, into `joints`.
    size_t detail_index = 0;
    Detail detail = Detail::kErrors;
    // A device with an unexplained alert, into `joints`; -1 for none.
    int suspect = -1;
    // Bytes read before those needed, changed after each answer that stayed away: an old one has another
    // length.
    uint8_t extra_bytes = 0;
    absl::Duration spoke_at;
  };

  DynamixelBus(const DynamixelOptions& options, std::vector<std::unique_ptr<ByteStream>> wires,
               const Clock* clock);

  // Reading, in dynamixel_bus.cc.
  void AskStates(Wire& wire, absl::Duration deadline);
  void AskDetail(Wire& wire, absl::Duration deadline);
  bool Serve(Wire& wire, absl::Duration wait_until, absl::Duration deadline,
             std::span<JointMeasurement> measurements);
  void TakeState(Wire& wire, const dxl::Line::Status& status, std::span<JointMeasurement> measurements);
  void TakeDetail(Wire& wire, const dxl::Line::Status& status);

  // Writing, in dynamixel_write.cc.
  void Plan(Joint& joint, const JointCommand& command);
  bool PlanTorque(Joint& joint, const JointCommand& command);
  bool PlanPosition(Joint& joint, const JointCommand& command);
  size_t EncodeCommands(const Wire& wire, std::span<uint8_t> out) const;
  void CheckPause(Wire& wire);

  // Before the loop, in dynamixel_setup.cc.
  absl::StatusOr<std::vector<uint8_t>> Ask(int joint, std::span<const uint8_t> packet, size_t data_bytes,
                                           const char* what);
  absl::StatusOr<std::vector<uint8_t>> ReadTable(int joint, uint16_t address, uint16_t num_bytes,
                                                 const char* what);
  absl::Status WriteTable(int joint, uint16_t address, int32_t value, size_t num_bytes, const char* what);
  absl::Status Survey(int joint);
  absl::Status ConfigureJoint(int joint);
  absl::Status Restart(int joint);
  void SilenceAndRelax();
  std::string Name(int joint) const { return Describe(joints_[joint].servo, joint); }

  const DynamixelOptions options_;
  const Clock* const clock_;
  std::vector<Joint> joints_;
  std::vector<Wire> wires_;
  // In units of the device; 0 for none.
  int watchdog_units_ = 0;
};

}  // namespace demorl
