#include "common/env/tasks/stochlite/observation.h"

#include <cmath>
#include <numbers>

#include "common/base/check.h"
#include "common/env/tasks/stochlite/gait_action.h"

namespace demorl::stochlite {
namespace {

// The authors' limits; there is none for a torso that is too low.
constexpr double kMaxRoll_rad = 30 * std::numbers::pi / 180;
constexpr double kMaxPitch_rad = 35 * std::numbers::pi / 180;
constexpr double kMaxHeight_m = 0.7;

// Appends to an array; real-time safe.
class Writer {
 public:
  explicit Writer(std::span<double> out) : out_(out) {}
  ~Writer() { DEMORL_CHECK(used_ == out_.size()); }

  Writer& operator<<(double value) {
    DEMORL_CHECK(used_ < out_.size());
    out_[used_++] = value;
    return *this;
  }
  Writer& operator<<(const Vector3& vector) { return *this << vector[0] << vector[1] << vector[2]; }

 private:
  std::span<double> out_;
  size_t used_ = 0;
};

}  // namespace

void WriteObservation(ObservationSet set, const TaskState& state, std::span<double> observation) {
  Writer out(observation);
  out << state.height_m << state.attitude.roll_rad << state.attitude.pitch_rad;
  if (set == ObservationSet::kAuthors) {
    out << state.angular_velocity_rad_s << state.plane.roll_rad << state.plane.pitch_rad;
    return;
  }
  out << state.attitude.yaw_rad << state.velocity_m_s << state.angular_velocity_rad_s;
  out << state.plane.roll_rad << state.plane.pitch_rad;
  out << state.command.forward_m_s / kMaxForward_m_s << state.command.lateral_m_s / kMaxLateral_m_s
      << state.command.yaw_rate_rad_s / kMaxYawRate_rad_s;
  out << std::cos(state.gait_phase_rad) << std::sin(state.gait_phase_rad);
}

bool Terminates(std::span<const float> observation) {
  // As in the reward, in single precision: what a learned model predicts ends as the environment does.
  const float height = observation[0], roll = observation[1], pitch = observation[2];
  return !(std::abs(roll) <= static_cast<float>(kMaxRoll_rad) &&
           std::abs(pitch) <= static_cast<float>(kMaxPitch_rad) &&
           height <= static_cast<float>(kMaxHeight_m));
}

}  // namespace demorl::stochlite
