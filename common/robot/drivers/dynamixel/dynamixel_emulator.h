#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "common/robot/drivers/dynamixel/dynamixel_codec.h"
#include "common/robot/drivers/dynamixel/dynamixel_emulated_servo.h"
#include "common/robot/emulation/emulated_servo_wire.h"

namespace demorl {

struct DynamixelEmulatorOptions {
  struct Servo {
    uint8_t id = 0;
    // Of the plant.
    int joint = 0;
    // Must outlive the emulator; as those of dxl::kModels do.
    const dxl::Model* model = &dxl::kModels[0];
    uint8_t firmware = 46;
  };
  std::vector<Servo> servos;
  // Of the wire: a byte takes 10 bits, and no reply is there sooner than its last byte.
  int baud_rate = 1'000'000;
  dxl::ServoBehaviour behaviour;
};

// DYNAMIXEL X-series actuators on one half-duplex wire, with the wire's time. Differs: factory reset and
// clear are answered with an instruction error. Of one thread.
class DynamixelEmulator final : public EmulatedServoWire<dxl::EmulatedServo, dxl::Parser> {
 public:
  explicit DynamixelEmulator(const DynamixelEmulatorOptions& options);

 private:
  struct Outcome {
    uint8_t error = dxl::kNone;
    std::span<const uint8_t> data;
    // The status return level from which on it is said.
    int answered_from_level = 2;
  };

  // One device's part of an instruction to several.
  struct Read {
    uint8_t id = 0;
    uint16_t address = 0;
    uint16_t num_bytes = 0;
  };
  struct Write {
    uint8_t id = 0;
    uint16_t address = 0;
    // A view of the packet.
    std::span<const uint8_t> data;
  };

  // Of a sync or bulk packet; empty if it is too short for one.
  static std::vector<Read> SyncReads(const dxl::Packet& packet);
  static std::vector<Read> BulkReads(const dxl::Packet& packet);
  static std::vector<Write> SyncWrites(const dxl::Packet& packet);
  static std::vector<Write> BulkWrites(const dxl::Packet& packet);

  void Handle(const dxl::Packet& packet, absl::Duration now) override;
  Outcome Execute(dxl::EmulatedServo& servo, const dxl::Packet& packet);
  void HandleOne(dxl::EmulatedServo& servo, const dxl::Packet& packet, absl::Duration now);
  void HandleReads(const std::vector<Read>& reads, absl::Duration now);
  void HandleFastReads(const std::vector<Read>& reads, absl::Duration now);
  void HandleWrites(const std::vector<Write>& writes, absl::Duration now);

  // The answer to a ping.
  std::array<uint8_t, 3> what_it_is_ = {};
};

}  // namespace demorl
