#include "common/robot/drivers/imu/rvc_imu.h"

#include <numbers>
#include <utility>

namespace demorl {
namespace {

constexpr absl::Duration kStartTimeout = absl::Seconds(2);
// Of silence; what came before it is no longer compared with.
constexpr absl::Duration kMaxGap = absl::Milliseconds(500);
constexpr double kSamplePeriod = 0.01;  // s
constexpr double kAngleUnit = 0.01 * std::numbers::pi / 180;
constexpr double kAccelerationUnit = 9.80665e-3;  // m/s^2
constexpr char kProtocol[] = "UART-RVC (AA AA ...)";

}  // namespace

Quaternion RvcOrientation(const RvcMessage& message) {
  return Product(
      Product(AboutAxis(Axis::kZ, message.yaw * kAngleUnit), AboutAxis(Axis::kX, message.pitch * kAngleUnit)),
      AboutAxis(Axis::kY, message.roll * kAngleUnit));
}

absl::Status RvcImu::Start() {
  receiver_.Restart();
  ImuSample sample;
  const absl::Duration deadline = receiver_.link().Now() + kStartTimeout;
  return receiver_.Await(deadline, [&](const RvcMessage& message) { return Take(message, sample); })
             ? absl::OkStatus()
             : receiver_.Explain("send samples", kProtocol);
}

bool RvcImu::Poll(ImuSample& sample) {
  bool found = false;
  receiver_.Drain([&](const RvcMessage& message) { found = Take(message, sample) || found; });
  return found;
}

bool RvcImu::Take(const RvcMessage& message, ImuSample& sample) {
  const uint32_t steps = counter_.Advance(message.index);
  if (steps == 0) {
    return false;
  }
  const absl::Duration arrival = receiver_.link().arrival();
  if (arrival - std::exchange(last_arrival_, arrival) > kMaxGap) {
    last_orientation_.reset();
  }
  const Quaternion orientation = RvcOrientation(message);
  const std::optional<Quaternion> last = std::exchange(last_orientation_, orientation);
  if (!last) {
    return false;
  }
  ++num_samples_;
  sample = {.time = arrival, .sequence = counter_.sequence(), .orientation = orientation};
  // In the body's frame: the rotation that takes the last body to this one.
  const std::array<double, 3> turned = RotationVector(Product(Inverse(*last), orientation));
  for (size_t i = 0; i < 3; ++i) {
    sample.angular_velocity_rad_s[i] = turned[i] / (steps * kSamplePeriod);
    sample.acceleration_m_s2[i] = message.acceleration[i] * kAccelerationUnit;
  }
  return true;
}

ImuCounters RvcImu::counters() const {
  return {.samples = num_samples_,
          .bad_messages = receiver_.parser().bad_messages(),
          .skipped_bytes = receiver_.parser().window().skipped_bytes(),
          .missed_samples = counter_.missed()};
}

}  // namespace demorl
