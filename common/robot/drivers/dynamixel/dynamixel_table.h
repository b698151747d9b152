#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <numbers>

// Control tables of DYNAMIXEL X-series actuators: addresses, units and models. Source: ROBOTIS e-Manual,
// pages of XM430-W350, XM430-W210 and XL430-W250.
namespace demorl::dxl {

enum Register : uint16_t {
  kModelNumber = 0,        // [2]
  kFirmwareVersion = 6,    // [1]
  kId = 7,                 // [1]
  kBaudRate = 8,           // [1]
  kReturnDelay = 9,        // [1] 2 us
  kOperatingMode = 11,     // [1] OperatingMode
  kTemperatureLimit = 31,  // [1] C
  kMaxVoltageLimit = 32,   // [2] 0.1 V
  kMinVoltageLimit = 34,   // [2] 0.1 V
  kPwmLimit = 36,          // [2] 0.113 %
  kCurrentLimit = 38,      // [2] kCurrentUnitA
  kVelocityLimit = 44,     // [4]
  kMaxPosition = 48,       // [4]
  kMinPosition = 52,       // [4]
  kShutdown = 63,          // [1] HardwareError
  // From here on in RAM.
  kTorqueEnable = 64,           // [1]
  kStatusReturnLevel = 68,      // [1] 0 ping only, 1 reads too, 2 everything
  kRegisteredInstruction = 69,  // [1]
  kHardwareError = 70,          // [1] HardwareError
  kBusWatchdog = 98,            // [1] 0 off and clear, 1..127 x 20 ms, kWatchdogTripped
  kGoalPwm = 100,               // [2] i16
  kGoalCurrent = 102,           // [2] i16, kCurrentUnitA
  kGoalVelocity = 104,          // [4] i32, kVelocityUnitRadS
  kGoalPosition = 116,          // [4] i32, kPositionUnitRad, kPositionZero
  kRealtimeTick = 120,          // [2] ms
  kPresentPwm = 124,            // [2] i16
  kPresentCurrent = 126,        // [2] i16, kCurrentUnitA; of XL430 the load, 0.1 %
  kPresentVelocity = 128,       // [4] i32
  kPresentPosition = 132,       // [4] i32
  kPresentVoltage = 144,        // [2] 0.1 V
  kPresentTemperature = 146,    // [1] C
};
constexpr size_t kTableBytes = 147;

enum class OperatingMode : uint8_t {
  kCurrent = 0,
  kVelocity = 1,
  kPosition = 3,
  kExtendedPosition = 4,
  kCurrentBasedPosition = 5,
  kPwm = 16,
};

enum HardwareError : uint8_t {
  kInputVoltage = 0x01,
  kOverheating = 0x04,
  kEncoder = 0x08,
  kElectricalShock = 0x10,
  kOverload = 0x20,
};

constexpr uint8_t kWatchdogTripped = 0xFF;
constexpr int kWatchdogUnitMs = 20;
constexpr double kCurrentUnitA = 2.69e-3;
constexpr double kVelocityUnitRadS = 0.229 * 2 * std::numbers::pi / 60;
constexpr double kPositionUnitRad = 2 * std::numbers::pi / 4096;
constexpr int kPositionZero = 2048;

// The first firmware of X430 with fast sync read.
constexpr int kFastSyncReadFirmware = 45;

struct Model {
  uint16_t number;
  const char* name;
  // It controls and measures current.
  bool has_current;
  // At 12 V.
  double stall_torque_nm;
  double torque_constant_nm_a;
  double no_load_velocity_rad_s;
  uint16_t max_current;  // of kCurrentLimit
};

constexpr double kRpm = 2 * std::numbers::pi / 60;
constexpr std::array<Model, 3> kModels = {{
    {1020, "XM430-W350", true, 4.1, 4.1 / 2.3, 46 * kRpm, 1193},
    {1030, "XM430-W210", true, 3.0, 3.0 / 2.3, 77 * kRpm, 1193},
    {1060, "XL430-W250", false, 1.4, 1.4 / 1.3, 57 * kRpm, 0},
}};

// Null if unknown.
constexpr const Model* FindModel(uint16_t number) {
  for (const Model& model : kModels) {
    if (model.number == number) {
      return &model;
    }
  }
  return nullptr;
}

}  // namespace demorl::dxl
