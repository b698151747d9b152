#include "common/robot/drivers/leg_udp/leg_bridge_emulator.h"

#include <cmath>

namespace demorl {

bool LegBridgeEmulator::Receive(std::span<const uint8_t> datagram, LegReply& reply) {
  LegRequest request;
  if (!DecodeLegMessage(datagram, request)) {
    return false;
  }
  for (size_t i = 0; i < kNumLegJoints; ++i) {
    const double torque_nm = request.torque[i] / options_.torque_per_nm[i];
    torques_nm_[i] = std::isfinite(torque_nm) ? torque_nm : 0;
  }
  num_resets_ += request.reset != 0 ? 1 : 0;
  reply = state_;
  return true;
}

void LegBridgeEmulator::Step(const RobotPlant& plant, std::span<double> torques_nm) {
  for (size_t i = 0; i < kNumLegJoints; ++i) {
    const int joint = options_.joints[i];
    state_[i] = {.position_rev = plant.position_rad(joint) / options_.rad_per_revolution[i],
                 .velocity_rev_s = plant.velocity_rad_s(joint) / options_.rad_per_revolution[i]};
    torques_nm[joint] = torques_nm_[i];
  }
}

}  // namespace demorl
