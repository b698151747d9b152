#pragma once

#include <cstdint>
#include <vector>

#include "common/robot/drivers/b3m/b3m_codec.h"
#include "common/robot/drivers/b3m/b3m_emulated_servo.h"
#include "common/robot/emulation/emulated_servo_wire.h"

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
class B3mEmulator final : public EmulatedServoWire<b3m::EmulatedServo, b3m::Parser> {
 public:
  explicit B3mEmulator(const B3mEmulatorOptions& options);

 private:
  void Handle(const b3m::Packet& packet, absl::Duration now) override;
  void HandleWrite(const b3m::Packet& packet, absl::Duration now);
  void Answer(b3m::EmulatedServo& servo, const b3m::Packet& packet, std::span<const uint8_t> data);

  const absl::Duration return_delay_;
};

}  // namespace demorl
