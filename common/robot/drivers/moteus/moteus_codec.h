#pragma once

#include <cstdint>
#include <span>

#include "common/robot/transport/can_port.h"

// Register frames of moteus controllers: a frame holds subframes, each of which writes, asks for or reports
// consecutive registers at one resolution.
// Source: mjbots/moteus docs/protocol/can.md and docs/protocol/registers.md. No allocation anywhere.
namespace demorl {

enum class MoteusResolution : uint8_t { kInt8 = 0, kInt16 = 1, kInt32 = 2, kFloat = 3 };

enum class MoteusSubframe : uint8_t {
  kWrite = 0x00,
  kRead = 0x10,
  kReply = 0x20,
  kWriteError = 0x30,
  kReadError = 0x31,
};

// Revolutions, revolutions per second, N m, degrees Celsius, volts and seconds.
namespace moteus_register {
inline constexpr uint32_t kMode = 0x000;
inline constexpr uint32_t kPosition = 0x001;
inline constexpr uint32_t kVelocity = 0x002;
inline constexpr uint32_t kTorque = 0x003;
inline constexpr uint32_t kQCurrent = 0x004;
inline constexpr uint32_t kDCurrent = 0x005;
inline constexpr uint32_t kAbsolutePosition = 0x006;
inline constexpr uint32_t kPower = 0x007;
inline constexpr uint32_t kMotorTemperature = 0x00a;
inline constexpr uint32_t kTrajectoryComplete = 0x00b;
inline constexpr uint32_t kHomeState = 0x00c;
inline constexpr uint32_t kVoltage = 0x00d;
inline constexpr uint32_t kBoardTemperature = 0x00e;
inline constexpr uint32_t kFault = 0x00f;
inline constexpr uint32_t kCommandPosition = 0x020;
inline constexpr uint32_t kCommandVelocity = 0x021;
inline constexpr uint32_t kCommandTorque = 0x022;
inline constexpr uint32_t kCommandKpScale = 0x023;
inline constexpr uint32_t kCommandKdScale = 0x024;
inline constexpr uint32_t kCommandMaxTorque = 0x025;
inline constexpr uint32_t kCommandStopPosition = 0x026;
inline constexpr uint32_t kCommandTimeout = 0x027;
inline constexpr uint32_t kCommandVelocityLimit = 0x028;
inline constexpr uint32_t kCommandAccelerationLimit = 0x029;
inline constexpr uint32_t kCommandIlimitScale = 0x02b;
inline constexpr uint32_t kControlPosition = 0x038;
inline constexpr uint32_t kControlVelocity = 0x039;
inline constexpr uint32_t kModel = 0x100;
inline constexpr uint32_t kFirmware = 0x101;
inline constexpr uint32_t kRegisterMap = 0x102;
inline constexpr uint32_t kId = 0x110;
inline constexpr uint32_t kSerialNumber = 0x120;
}  // namespace moteus_register

namespace moteus_mode {
inline constexpr int kStopped = 0;
inline constexpr int kFault = 1;
// Until a stopped motor is ready to run.
inline constexpr int kEnabling = 2;
inline constexpr int kCalibrating = 3;
inline constexpr int kCalibrationComplete = 4;
inline constexpr int kPosition = 10;
inline constexpr int kTimeout = 11;
inline constexpr int kZeroVelocity = 12;
inline constexpr int kBrake = 15;
}  // namespace moteus_mode

// One register in a frame. `value` is in the register's unit; NaN stands for the integers' least value, which
// means "unset", "here" or "default". Asking (kRead) leaves it out.
struct MoteusValue {
  uint32_t address = 0;
  MoteusResolution resolution = MoteusResolution::kFloat;
  double value = 0;
};

// Appends subframes to a frame, neighbours of one resolution as one subframe.
class MoteusFrameWriter {
 public:
  explicit MoteusFrameWriter(CanFrame& frame) : frame_(frame) {}

  // `kind` is kWrite, kRead or kReply; `values` in the order in which they go out. False, and the frame as it
  // was, if they do not fit.
  bool Append(MoteusSubframe kind, std::span<const MoteusValue> values);

  // `kind` is kWriteError or kReadError.
  bool AppendError(MoteusSubframe kind, uint32_t address, uint32_t error);

  // Fills up to a size that CAN-FD knows.
  void Pad();

 private:
  bool AppendRun(MoteusSubframe kind, std::span<const MoteusValue> values);
  bool PutByte(uint8_t byte);
  bool PutVaruint(uint32_t value);
  bool PutValue(const MoteusValue& value);

  CanFrame& frame_;
};

struct MoteusItem {
  MoteusSubframe kind = MoteusSubframe::kWrite;
  // Without its value in a kRead; of an error, the address alone.
  MoteusValue register_value;
  // What the device says about a kWriteError or kReadError.
  uint32_t error = 0;
};

// Takes a frame apart, register by register. Any bytes may be given to it.
class MoteusFrameReader {
 public:
  explicit MoteusFrameReader(std::span<const uint8_t> bytes) : bytes_(bytes) {}

  // False at the end, and at the first subframe that is cut off or unknown: what follows it cannot be found.
  bool Next(MoteusItem& item);

  bool malformed() const { return malformed_; }

 private:
  bool StartSubframe(MoteusItem& item);
  bool ReadError(MoteusItem& item);
  bool TakeByte(uint8_t& byte);
  bool TakeVaruint(uint32_t& value);
  bool TakeValue(MoteusValue& value);

  std::span<const uint8_t> bytes_;
  bool malformed_ = false;
  // The rest of the subframe that Next is in.
  MoteusSubframe kind_ = MoteusSubframe::kWrite;
  MoteusResolution resolution_ = MoteusResolution::kInt8;
  uint32_t address_ = 0;
  uint32_t remaining_ = 0;
};

}  // namespace demorl
