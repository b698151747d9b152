#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace demorl {

enum class ActuatorMode : uint8_t {
  // No current: the joint falls freely.
  kFree,
  // The joint resists motion with `damping` (or, on devices that know only one, their own braking).
  kDamping,
  // `torque_nm` alone.
  kTorque,
  // stiffness (position - measured) + damping (velocity - measured velocity) + torque, on the device.
  kPosition,
};

// What one actuator is asked to do until the next command. All quantities are at the actuator's output, in
// its own direction and zero: gear ratios, signs and offsets of the robot are applied above the bus.
struct JointCommand {
  ActuatorMode mode = ActuatorMode::kFree;
  double position_rad = 0;
  double velocity_rad_s = 0;
  double torque_nm = 0;
  double stiffness_nm_rad = 0;
  double damping_nm_s_rad = 0;
  // Bound on the torque that the device itself keeps; used where the device has one.
  double max_torque_nm = std::numeric_limits<double>::infinity();
};

// What one actuator last said.
struct JointMeasurement {
  // When the reply arrived, on RealClock's time line; zero before the first one.
  absl::Duration time;
  // Whether the reply arrived during the Read that returned this. If not, the values are those of `time`.
  bool fresh = false;
  double position_rad = 0;
  double velocity_rad_s = 0;
  double torque_nm = 0;
  // NaN where the device does not tell.
  double temperature_c = std::numeric_limits<double>::quiet_NaN();
  double voltage_v = std::numeric_limits<double>::quiet_NaN();
  // The device's own code, 0 for none; DescribeFault puts it into words.
  uint32_t fault = 0;
};

// What a device says about itself before it is trusted with a command. NaN where it does not tell.
struct ActuatorInfo {
  int id = 0;
  std::string model;
  std::string firmware;
  // The device's own limits, at its output.
  double max_torque_nm = std::numeric_limits<double>::quiet_NaN();
  double max_velocity_rad_s = std::numeric_limits<double>::quiet_NaN();
  double minimum_position_rad = std::numeric_limits<double>::quiet_NaN();
  double maximum_position_rad = std::numeric_limits<double>::quiet_NaN();
  // It goes to a safe state by itself when commands stay away.
  bool has_watchdog = false;
};

struct BusResult {
  enum class Code : uint8_t {
    kOk,
    // Some actuators have not answered by the deadline, or not all of a command could be sent.
    kIncomplete,
    // The device is unplugged or closed; no later call succeeds.
    kClosed,
    // The operating system refused; `error_number` says why.
    kFailed,
    // Nobody is left to free the motors if this process dies: none are driven any more.
    kUnwatched,
  };
  Code code = Code::kOk;
  int error_number = 0;

  bool ok() const { return code == Code::kOk; }
};

// What went wrong on a bus since it was opened.
struct BusCounters {
  // Requests without an answer by the deadline.
  uint64_t missing_replies = 0;
  // Answers that came after their deadline, or a second time; never taken for new ones.
  uint64_t late_or_duplicate_replies = 0;
  // Whole messages with a wrong checksum, from an unknown id, or of an unknown form.
  uint64_t bad_messages = 0;
  // Bytes skipped while looking for the next message.
  uint64_t skipped_bytes = 0;
  // Devices that answered with an error of their own.
  uint64_t device_errors = 0;
};

// All actuators of one robot, in the order of its joints, whatever wires lead to them. Thread-compatible: one
// owner at a time, the control loop while it runs. Methods marked real-time safe neither allocate, lock nor
// log.
class ActuatorBus {
 public:
  // Writes in a row of one command after which no bus has it still to send, though nobody confirms a write.
  static constexpr int kSureWrites = 4;

  virtual ~ActuatorBus() = default;

  virtual int num_joints() const = 0;

  // Asks every actuator who it is, in joint order, before the control loop starts; blocks up to about a
  // second. NOT_FOUND for an id that does not answer, FAILED_PRECONDITION for a device or firmware that this
  // driver does not know, UNAVAILABLE if the bus is gone; each names the id, what was found and what is
  // allowed.
  virtual absl::StatusOr<std::vector<ActuatorInfo>> Identify() = 0;

  // Puts the devices into the state that Write expects, motors off: clears nothing that is latched, sets the
  // device's watchdog (where it has one) to `watchdog_timeout`. Blocks as Identify; errors as Identify.
  virtual absl::Status Configure(absl::Duration watchdog_timeout) = 0;

  // Takes all motors off and clears faults that the device latches. Blocks as Identify; for the operator's
  // clear, never inside the loop.
  virtual absl::Status ClearFaults() = 0;

  // Real-time safe. Fetches one measurement of each joint; returns at `deadline` at the latest.
  // `measurements` [num_joints] keeps the old values, with fresh = false, of a joint that has not answered.
  virtual BusResult Read(absl::Duration deadline, std::span<JointMeasurement> measurements) = 0;

  // Real-time safe; does not wait for replies. `commands` [num_joints].
  virtual BusResult Write(std::span<const JointCommand> commands) = 0;

  // Real-time safe.
  virtual BusCounters counters() const = 0;

  // A fault code of this bus in words, for logs and operators.
  virtual std::string DescribeFault(uint32_t fault) const = 0;
};

}  // namespace demorl
