#pragma once

#include <vector>

#include "common/robot/drivers/moteus/emulated_moteus.h"
#include "common/robot/drivers/moteus/fdcanusb_text.h"
#include "common/robot/emulation/device_emulator.h"

namespace demorl {

struct MoteusEmulatorOptions {
  std::vector<EmulatedMoteusOptions> controllers;
  // A frame from the bus is told before the "OK" of the line that asked for it; both orders occur.
  bool reply_before_ok = false;
};

// An fdcanusb adapter with moteus controllers on its bus. As on a controller's UART, lines may carry
// checksums; once one has, each must, and the answers do. Of one thread.
class MoteusEmulator final : public DeviceEmulator {
 public:
  explicit MoteusEmulator(const MoteusEmulatorOptions& options);

  void Receive(std::span<const uint8_t> bytes, absl::Duration now, std::vector<uint8_t>& replies) override;
  void Step(absl::Duration now, const RobotPlant& plant, std::span<double> torques_nm,
            std::vector<uint8_t>& output) override;

  EmulatedMoteus& controller(size_t index) { return controllers_[index]; }

 private:
  void HandleLine(absl::Duration now, std::vector<uint8_t>& replies);
  void HandleFrame(const CanFrame& frame, absl::Duration now, std::vector<uint8_t>& replies);
  void HandleText(std::string_view text, std::vector<uint8_t>& replies);
  void Answer(std::string_view text, std::vector<uint8_t>& replies) const;

  const bool reply_before_ok_;
  std::vector<EmulatedMoteus> controllers_;
  FdcanusbLineReader reader_;
  bool checksums_ = false;
  bool bus_is_on_ = true;
};

}  // namespace demorl
