#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "common/robot/emulation/device_emulator.h"
#include "common/robot/emulation/emulated_wire_time.h"

namespace demorl {

// Servos on one half-duplex wire, with the wire's time; a protocol adds what they do with a packet. Of one
// thread.
//
// Servo: id(), answers(now) and Step(now, position_rad, velocity_rad_s), which returns the torque in N m.
template <typename Servo, typename Parser>
class EmulatedServoWire : public DeviceEmulator {
 public:
  void Receive(std::span<const uint8_t> bytes, absl::Duration now, std::vector<uint8_t>& replies) final {
    wire_.Release(now, replies);
    if (!bytes.empty() && wire_.Hear(bytes.size(), now)) {
      parser_.Push(bytes);
      while (const auto packet = parser_.Next()) {
        Handle(*packet, now);
      }
    }
    wire_.Release(now, replies);
  }
  void Step(absl::Duration now, const RobotPlant& plant, std::span<double> torques_nm,
            std::vector<uint8_t>& output) final {
    for (size_t i = 0; i < servos_.size(); ++i) {
      const int joint = joints_[i];
      torques_nm[joint] = servos_[i].Step(now, plant.position_rad(joint), plant.velocity_rad_s(joint));
    }
    wire_.Release(now, output);
  }
  absl::Duration next_output() const final { return wire_.next_output(); }

  // In the order of the options; for tests and for trying an installation.
  Servo& servo(size_t index) { return servos_[index]; }
  // How often the host spoke while a reply was under way; both are lost then.
  uint64_t num_collisions() const { return wire_.num_collisions(); }

 protected:
  using Packet = typename decltype(std::declval<Parser&>().Next())::value_type;

  template <typename... ParserArguments>
  explicit EmulatedServoWire(int baud_rate, ParserArguments... arguments)
      : parser_(arguments...), wire_(baud_rate) {}

  // `joint`: of the plant. Before anything else.
  void Add(Servo servo, int joint) {
    servos_.push_back(std::move(servo));
    joints_.push_back(joint);
  }

  virtual void Handle(const Packet& packet, absl::Duration now) = 0;

  // Null if no servo of that id answers at `now`.
  Servo* Find(uint8_t id, absl::Duration now) {
    for (Servo& servo : servos_) {
      if (servo.id() == id && servo.answers(now)) {
        return &servo;
      }
    }
    return nullptr;
  }
  std::vector<Servo>& servos() { return servos_; }
  // `delay` after all that was said before.
  void Say(absl::Duration delay, std::span<const uint8_t> bytes) { wire_.Say(delay, bytes); }

 private:
  std::vector<Servo> servos_;
  std::vector<int> joints_;
  Parser parser_;
  EmulatedWireTime wire_;
};

}  // namespace demorl
