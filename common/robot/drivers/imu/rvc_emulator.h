#pragma once

#include "common/robot/drivers/imu/imu_source.h"
#include "common/robot/drivers/imu/rvc_messages.h"
#include "common/robot/emulation/device_emulator.h"

namespace demorl {

// A BNO08x in UART-RVC mode: sends at 100 Hz, hears nothing. Drives no motors.
class RvcEmulator final : public DeviceEmulator {
 public:
  explicit RvcEmulator(ImuSource source) : source_(std::move(source)) {}

  void Receive(std::span<const uint8_t>, absl::Duration, std::vector<uint8_t>&) override {}
  void Step(absl::Duration now, const RobotPlant& plant, std::span<double> torques_nm,
            std::vector<uint8_t>& output) override;

 private:
  const ImuSource source_;
  SamplePacer pacer_;
  uint8_t index_ = 0;
};

}  // namespace demorl
