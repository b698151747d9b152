#include "common/robot/drivers/servo_wires.h"

#include "absl/strings/str_format.h"

namespace demorl {

absl::Status CheckServoAddresses(std::span<const ServoAddress> servos, size_t num_wires, int max_id) {
  for (size_t i = 0; i < servos.size(); ++i) {
    const ServoAddress& servo = servos[i];
    if (servo.wire < 0 || servo.wire >= static_cast<int>(num_wires) || servo.id > max_id) {
      return absl::InvalidArgumentError(
          absl::StrFormat("servo of joint %d: wire %d, id %d; want wires 0..%d and ids 0..%d", i, servo.wire,
                          servo.id, static_cast<int>(num_wires) - 1, max_id));
    }
    for (size_t j = 0; j < i; ++j) {
      if (servos[j].wire == servo.wire && servos[j].id == servo.id) {
        return absl::InvalidArgumentError(
            absl::StrFormat("joints %d and %d are both servo %d of wire %d", j, i, servo.id, servo.wire));
      }
    }
  }
  return absl::OkStatus();
}

std::string Describe(const ServoAddress& servo, int joint) {
  return absl::StrFormat("servo %d on wire %d (joint %d)", servo.id, servo.wire, joint);
}

}  // namespace demorl
