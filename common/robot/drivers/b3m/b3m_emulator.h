#pragma once

#include <cstdint>
#include <vector>

#include "common/robot/drivers/b3m/b3m_codec.h"
#include "common/robot/drivers/b3m/b3m_emulated_servo.h"
#include "common/robot/emulation/device_emulator.h"
#include "common/robot/emulation/emulated_wire_time.h"

namespace demorl {

struct B3mEmulatorOptions {
  struct Servo {
    uint8_t id = 0;
    // Of the plant.
    int joint = 0;
  };
  std::vector<Servo> servos;
  // Of the wire: a byte takes 10 bits, and no reply is there sooner than its last byte.
  int baud_rate = b3m::kDefaultBaudRate;
  // Between a request's last byte and the reply's first.
  absl::Duration return_delay = absl::Microseconds(30);
  b3m::ServoBehaviour behaviour;
};

// Kondo B3M servos on one RS-485 wire, with the wire's time. The servos have no watchdog: they go on with
// what they were told last. Of one thread.
class B3mEmulator final : public DeviceEmulator {
 public:
  explicit B3mEmulator(const B3mEmulatorOptions& options);

  void Receive(std::span<const uint8_t> bytes, absl::Duration now, std::vector<uint8_t>& replies) override;
  void Step(absl::Duration now, const RobotPlant& plant, std::span<double> torques_nm,
            std::vector<uint8_t>& output) override;
  absl::Duration next_output() const override { return wire_.next_output(); }

  // In the order of the options; for tests and for trying an installation.
  b3m::EmulatedServo& servo(size_t index) { return servos_[index]; }
  // How often the host spoke while a reply was under way; both are lost then.
  uint64_t num_collisions() const { return wire_.num_collisions(); }

 private:
  void Handle(const b3m::Packet& packet, absl::Duration now);
  void HandleWrite(const b3m::Packet& packet, absl::Duration now);
  void Answer(b3m::EmulatedServo& servo, const b3m::Packet& packet, std::span<const uint8_t> data);
  b3m::EmulatedServo* Find(uint8_t id, absl::Duration now);

  const std::vector<B3mEmulatorOptions::Servo> where_;
  const absl::Duration return_delay_;
  std::vector<b3m::EmulatedServo> servos_;
  b3m::Parser parser_;
  EmulatedWireTime wire_;
};

}  // namespace demorl
