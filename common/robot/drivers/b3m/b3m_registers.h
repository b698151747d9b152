#pragma once

#include <cstdint>
#include <numbers>

// The memory of a Kondo B3M servo: addresses, and the values of the registers that choose between things. All
// numbers are little-endian. Source: Kondo, B3M Series Software Manual, Command Reference 1.2.0; where only
// public drivers say something, the comment says so. A number in brackets is the size in bytes where that is
// not 2.
namespace demorl::b3m {

constexpr uint8_t kBroadcastId = 0xFF;
constexpr int kDefaultBaudRate = 1'500'000;
// Of positions and, a second, of velocities: 0.01 deg.
constexpr double kRadPerCentidegree = std::numbers::pi / 18'000;

enum class Command : uint8_t {
  kLoad = 0x01,      // memory <- flash
  kSave = 0x02,      // flash <- memory
  kRead = 0x03,      // address, length
  kWrite = 0x04,     // (id, data) of each servo, address, number of servos
  kReset = 0x05,     // delay; no reply
  kPosition = 0x06,  // target position i16, time u16 ms
};

enum Register : uint8_t {
  // System.
  kId = 0x00,                     // [1]
  kBaudRate = 0x01,               // [4] bit/s
  kMinimumPosition = 0x05,        // i16, 0.01 deg
  kMaximumPosition = 0x07,        // i16, 0.01 deg
  kCentreOffset = 0x09,           // i16, 0.01 deg
  kMcuTemperatureLimit = 0x0B,    // i16, 0.01 C
  kMotorTemperatureLimit = 0x0E,  // i16, 0.01 C
  kCurrentLimit = 0x11,           // u16, mA
  kLockDetectionTime = 0x14,      // [1]
  kMinimumVoltage = 0x17,         // u16, mV
  kMaximumVoltage = 0x19,         // u16, mV
  kPwmLimit = 0x1B,               // [1] per cent
  kDeadBand = 0x1C,               // u16, 0.01 deg
  // Servo.
  kOption = 0x27,            // [1]
  kMode = 0x28,              // [1] RunMode | ControlMode
  kTrajectory = 0x29,        // [1] Trajectory
  kTargetPosition = 0x2A,    // i16, 0.01 deg
  kPresentPosition = 0x2C,   // i16, 0.01 deg
  kTargetVelocity = 0x30,    // i16, 0.01 deg/s
  kPresentVelocity = 0x32,   // i16, 0.01 deg/s
  kTargetTime = 0x36,        // u16, ms
  kTargetTorque = 0x3C,      // i16, mN m
  kSystemClock = 0x3E,       // [4]
  kMcuTemperature = 0x44,    // i16, 0.01 C
  kMotorTemperature = 0x46,  // i16, 0.01 C
  kCurrent = 0x48,           // i16, mA (signed: public drivers)
  kVoltage = 0x4A,           // u16, mV
  kPwmDuty = 0x4C,
  kEncoderValue = 0x50,
  kEncoderCount = 0x52,  // [4]
  // Control. Order of the gains: five public drivers say P, D, I; one says P, I, D.
  kGainPreset = 0x5C,  // [1] GainPreset
  kKp0 = 0x5E,         // [4], then Kd0 [4] and Ki0 [4]; presets 1 and 2 follow at strides of 0x10
  kKd0 = 0x62,         // [4]
  kKi0 = 0x66,         // [4]
  kStaticFriction0 = 0x6A,
  kDynamicFriction0 = 0x6C,
  // Status [1 each].
  kErrorStatus = 0x9D,    // ErrorStatus
  kSystemStatus = 0x9E,   // SystemStatus
  kMotorStatus = 0x9F,    // MotorStatus
  kUartStatus = 0xA0,     // UartStatus
  kCommandStatus = 0xA1,  // CommandStatus
  // What it is.
  kModelNumber = 0xA2,  // [4] voltage class, version, torque, case
  kModelType = 0xA6,    // [4]
  kFirmware = 0xAA,     // [4] build, revision, minor, major
};

// Low bits of kMode. 0 is powered: a servo that is not to move is free or holds.
enum class RunMode : uint8_t { kNormal = 0x00, kFree = 0x02, kHold = 0x03 };
enum class ControlMode : uint8_t { kPosition = 0x00, kVelocity = 0x04, kTorque = 0x08, kFeedForward = 0x0C };
constexpr uint8_t kRunModeMask = 0x03;
constexpr uint8_t kControlModeMask = 0x0C;

enum class Trajectory : uint8_t { kNone = 0, kEven = 1, kThirdOrder = 3, kFourthOrder = 4, kFifthOrder = 5 };
enum class GainPreset : uint8_t { kPosition = 0, kVelocity = 1, kTorque = 2 };

// Which status byte a reply carries.
enum class StatusOption : uint8_t { kError = 0, kSystem = 1, kMotor = 2, kUart = 3, kCommand = 4 };

// Bits of the status bytes; names as in a public driver (nomumu/kondo_b3m_control).
enum ErrorStatus : uint8_t {
  kSystemError = 0x01,
  kMotorError = 0x02,
  kUartError = 0x04,
  kCommandError = 0x08,
};
enum SystemStatus : uint8_t {
  kWatchdogReset = 0x01,
  kFlashAccess = 0x02,
  kMemoryAllocation = 0x04,
  kInputVoltage = 0x08,
  kMcuOverTemperature = 0x10,
  kAdConversion = 0x20,
  kI2c = 0x40,
  kSpi = 0x80,
};
enum MotorStatus : uint8_t {
  kMotorOverTemperature = 0x01,
  kLockDetected = 0x02,
  kCurrentLimited = 0x04,
  kHallSensor = 0x08,
};
enum UartStatus : uint8_t { kFraming = 0x01, kParity = 0x02, kBreak = 0x04, kOverrun = 0x08 };
enum CommandStatus : uint8_t {
  kWrongChecksum = 0x01,
  kWrongLength = 0x02,
  kWrongSize = 0x04,
  kWrongAddress = 0x08,
  kUnknownCommand = 0x10,
};

// The servo's caps on positions, both directions.
constexpr int kMaxPositionCentidegrees = 32'000;

}  // namespace demorl::b3m
