#include "common/robot/drivers/imu/rvc_emulator.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "common/robot/drivers/imu/rotation.h"

namespace demorl {
namespace {

int16_t Rounded(double value) {
  return static_cast<int16_t>(std::lround(std::clamp(value, -32767.0, 32767.0)));
}

// The inverse of RvcOrientation.
void SetAngles(const Quaternion& orientation, RvcMessage& message) {
  constexpr double kUnits = 100 * 180 / std::numbers::pi;
  const auto r = Matrix(orientation);
  message.yaw = Rounded(kUnits * std::atan2(-r[0][1], r[1][1]));
  message.pitch = Rounded(kUnits * std::asin(std::clamp(r[2][1], -1.0, 1.0)));
  message.roll = Rounded(kUnits * std::atan2(-r[2][0], r[2][2]));
}

}  // namespace

void RvcEmulator::Step(absl::Duration now, const RobotPlant&, std::span<double>,
                       std::vector<uint8_t>& output) {
  if (!pacer_.Due(now)) {
    return;
  }
  const ImuMotion motion = source_(now);
  RvcMessage message{.index = index_++};
  SetAngles(motion.orientation, message);
  for (size_t i = 0; i < 3; ++i) {
    message.acceleration[i] = Rounded(motion.acceleration_m_s2[i] / 9.80665e-3);
  }
  AppendRvcMessage(message, output);
}

}  // namespace demorl
