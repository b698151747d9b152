#pragma once

#include <map>
#include <string>
#include <vector>

#include "common/robot/drivers/imu/imu_source.h"
#include "common/robot/drivers/imu/vectornav_messages.h"
#include "common/robot/emulation/device_emulator.h"

namespace demorl {

struct VectorNavEmulatorOptions {
  // An output that needs more is refused, as the device does.
  int baud_rate = 115200;
};

// A VN-100, on its serial port 1. Starts like one from the box: text with yaw, pitch, roll, magnetic field,
// acceleration and rates ($VNYMR) at 40 Hz. Knows VNRRG and VNWRG of the registers 1, 4, 5 (read), 6, 7 and
// 75 (group 1, any of the fields of VectorNavField); errors by VNERR. Drives no motors.
class VectorNavEmulator final : public DeviceEmulator {
 public:
  VectorNavEmulator(const VectorNavEmulatorOptions& options, ImuSource source);

  void Receive(std::span<const uint8_t> bytes, absl::Duration now, std::vector<uint8_t>& replies) override;
  void Step(absl::Duration now, const RobotPlant& plant, std::span<double> torques_nm,
            std::vector<uint8_t>& output) override;

 private:
  std::string Answer(absl::string_view command);
  // Takes the values of a register; the device's error code, or 0.
  int WriteRegister(int number, const std::vector<std::string>& values);
  int SetBinaryOutput(const std::vector<std::string>& values);
  void SendText(const ImuMotion& motion, std::vector<uint8_t>& output) const;
  void SendBinary(const ImuMotion& motion, absl::Duration now, std::vector<uint8_t>& output) const;

  const VectorNavEmulatorOptions options_;
  const ImuSource source_;
  VectorNavParser parser_;
  // What VNRRG answers after the register's number.
  std::map<int, std::string> registers_;
  bool sends_text_ = true;
  uint16_t binary_fields_ = 0;
  SamplePacer text_pacer_, binary_pacer_;
};

}  // namespace demorl
