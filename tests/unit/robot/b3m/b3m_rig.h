#pragma once

#include <array>
#include <memory>
#include <utility>
#include <vector>

#include "common/robot/drivers/b3m/b3m_bus.h"
#include "common/robot/drivers/b3m/b3m_emulator.h"
#include "tests/unit/robot/servo_bus/servo_rig.h"

namespace demorl::testing {

// Twelve servos.
class B3mRig : public ServoRig {
 public:
  static constexpr int kJoints = 12;

  explicit B3mRig(int num_wires) : ServoRig(kJoints, num_wires) {
    for (int wire = 0; wire < num_wires; ++wire) {
      B3mEmulatorOptions emulated;
      for (int joint = wire; joint < kJoints; joint += num_wires) {
        emulated.servos.push_back({.id = static_cast<uint8_t>(joint + 1), .joint = joint});
      }
      emulators.push_back(std::make_unique<B3mEmulator>(emulated));
    }
    for (int joint = 0; joint < kJoints; ++joint) {
      options.servos.push_back({joint % num_wires, static_cast<uint8_t>(joint + 1)});
    }
  }

  void MakeBus() override {
    std::vector<std::unique_ptr<ByteStream>> streams;
    for (auto& emulator : emulators) {
      streams.push_back(world.Connect(emulator.get()));
    }
    ASSERT_OK_AND_ASSIGN(bus, B3mBus::Create(options, std::move(streams), &world));
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
    std::array<uint8_t, 16> reply;
    const size_t size = b3m::EncodeReply(b3m::Command::kRead, 0, 99, {}, reply);
    return {reply.begin(), reply.begin() + size};
  }
  double position_unit_rad() const override { return b3m::kRadPerCentidegree; }
  double torque_unit_nm() const override { return 1e-3 * 7.6 / 5.4; }  // 1 mA
  int requests_per_wire() const override { return joints_per_wire(); }

  b3m::EmulatedServo& servo(int joint) { return emulators[joint % num_wires()]->servo(joint / num_wires()); }

  std::vector<std::unique_ptr<B3mEmulator>> emulators;
  B3mOptions options;
  std::unique_ptr<B3mBus> bus;
};

}  // namespace demorl::testing
