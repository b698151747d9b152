#pragma once

#include <array>
#include <memory>
#include <utility>
#include <vector>

#include "common/robot/drivers/dynamixel/dynamixel_bus.h"
#include "common/robot/drivers/dynamixel/dynamixel_emulator.h"
#include "tests/unit/robot/servo_bus/servo_rig.h"

namespace demorl::testing {

// Six actuators.
class DynamixelRig : public ServoRig {
 public:
  static constexpr int kJoints = 6;
  static constexpr double kTorqueUnitNm = dxl::kCurrentUnitA * 4.1 / 2.3;

  DynamixelRig(int num_wires, uint8_t firmware) : ServoRig(kJoints, num_wires), emulated(num_wires) {
    for (int joint = 0; joint < kJoints; ++joint) {
      emulated[joint % num_wires].servos.push_back(
          {.id = static_cast<uint8_t>(joint + 1), .joint = joint, .firmware = firmware});
      options.servos.push_back({joint % num_wires, static_cast<uint8_t>(joint + 1)});
    }
  }

  void MakeBus() override {
    std::vector<std::unique_ptr<ByteStream>> streams;
    for (const DynamixelEmulatorOptions& emulator : emulated) {
      emulators.push_back(std::make_unique<DynamixelEmulator>(emulator));
      streams.push_back(world.Connect(emulators.back().get()));
    }
    world.Advance(absl::Milliseconds(2));
    ASSERT_OK_AND_ASSIGN(bus, DynamixelBus::Create(options, std::move(streams), &world));
  }
  ActuatorBus& any_bus() override { return *bus; }
  void SetEcho() override { options.echo = true; }
  void SetId(int joint, uint8_t id) override { options.servos[joint].id = id; }
  uint64_t num_collisions() const override {
    uint64_t sum = 0;
    for (const auto& emulator : emulators) {
      sum += emulator->num_collisions();
    }
    return sum;
  }
  std::vector<uint8_t> ForeignReply() const override {
    std::array<uint8_t, 32> reply;
    const size_t size = dxl::EncodeStatus(99, 0, {}, reply);
    return {reply.begin(), reply.begin() + size};
  }
  double position_unit_rad() const override { return dxl::kPositionUnitRad; }
  double torque_unit_nm() const override { return kTorqueUnitNm; }
  int requests_per_wire() const override { return 1; }  // of states, which all answer

  dxl::EmulatedServo& servo(int joint) { return emulators[joint % num_wires()]->servo(joint / num_wires()); }

  // Of each wire; for MakeBus.
  std::vector<DynamixelEmulatorOptions> emulated;
  std::vector<std::unique_ptr<DynamixelEmulator>> emulators;
  DynamixelOptions options;
  std::unique_ptr<DynamixelBus> bus;
};

}  // namespace demorl::testing
