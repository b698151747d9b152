#pragma once

#include <vector>

#include "common/robot/drivers/imu/imu_source.h"
#include "common/robot/drivers/imu/xbus_messages.h"
#include "common/robot/emulation/device_emulator.h"

namespace demorl {

struct XsensEmulatorOptions {
  uint32_t device_id = 0x03700001;
  // Rates are whole parts of it; a rate that is none is rounded down to one, as on the device.
  int max_rate_hz = 400;
};

// An MTi on its own wire. Starts like one from the box: measuring, with the counter, the time and the
// quaternion at 100 Hz. Knows ReqDeviceId, Reset, GoToConfig, GoToMeasurement, OutputConfiguration (asked and
// set, for the items of XbusItem); in configuration it sends nothing by itself, while measuring it obeys only
// GoToConfig and Reset. Anything else is answered by an error message. Drives no motors.
class XsensEmulator final : public DeviceEmulator {
 public:
  XsensEmulator(const XsensEmulatorOptions& options, ImuSource source);

  void Receive(std::span<const uint8_t> bytes, absl::Duration now, std::vector<uint8_t>& replies) override;
  void Step(absl::Duration now, const RobotPlant& plant, std::span<double> torques_nm,
            std::vector<uint8_t>& output) override;

 private:
  struct Output {
    XbusItem item;
    uint16_t rate_hz;
  };

  void Restart();
  void Answer(const XbusMessage& message, std::vector<uint8_t>& replies);
  void AnswerInConfiguration(const XbusMessage& message, std::vector<uint8_t>& replies);
  bool SetOutputs(std::span<const uint8_t> data);
  std::vector<uint8_t> OutputConfiguration() const;
  void AppendItem(XbusItem item, const ImuMotion& motion, absl::Duration now,
                  std::vector<uint8_t>& data) const;

  const XsensEmulatorOptions options_;
  const ImuSource source_;
  XbusParser parser_;
  bool measuring_ = true;
  std::vector<Output> outputs_;
  SamplePacer pacer_;
  uint16_t packet_counter_ = 0;
};

}  // namespace demorl
