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

// Units of the full set.
constexpr double kRestHeight_m = 0.25;
constexpr double kHeightUnit_m = 0.02;
constexpr double kAngleUnit_rad = 0.1;
constexpr double kVelocityUnit_m_s = 0.3;

// Appends to an array; real-time safe.
class Writer {
 public:
  explicit Writer(std::span<double> out) : out_(out) {}
  ~Writer() { DEMORL_CHECK(used_ == out_.size()); }
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;

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

void WriteAuthors(const TaskState& state, Writer& out) {
  out << state.height_m << state.attitude.roll_rad << state.attitude.pitch_rad << state.angular_velocity_rad_s
      << state.plane.roll_rad << state.plane.pitch_rad;
}

void WriteFull(const TaskState& state, Writer& out) {
  out << (state.height_m - kRestHeight_m) / kHeightUnit_m;
  out << state.attitude.roll_rad / kAngleUnit_rad << state.attitude.pitch_rad / kAngleUnit_rad
      << state.attitude.yaw_rad / kAngleUnit_rad;
  for (const double velocity : state.velocity_m_s) {
    out << velocity / kVelocityUnit_m_s;
  }
  out << state.angular_velocity_rad_s;
  out << state.plane.roll_rad / kAngleUnit_rad << state.plane.pitch_rad / kAngleUnit_rad;
  out << state.command.forward_m_s / kMaxForward_m_s << state.command.lateral_m_s / kMaxLateral_m_s
      << state.command.yaw_rate_rad_s / kMaxYawRate_rad_s;
  out << std::cos(state.gait_phase_rad) << std::sin(state.gait_phase_rad);
  for (const double followed : ActionFromGait(state.gait)) {
    out << followed;
  }
}

bool Fallen(double height_m, double roll_rad, double pitch_rad) {
  return !(std::abs(roll_rad) <= kMaxRoll_rad && std::abs(pitch_rad) <= kMaxPitch_rad &&
           height_m <= kMaxHeight_m);
}

}  // namespace

void WriteObservation(ObservationSet set, const TaskState& state, std::span<double> observation) {
  Writer out(observation);
  if (set == ObservationSet::kAuthors) {
    WriteAuthors(state, out);
  } else {
    WriteFull(state, out);
  }
}

template <>
bool Terminates<ObservationSet::kAuthors>(std::span<const float> observation) {
  return Fallen(observation[0], observation[1], observation[2]);
}

template <>
bool Terminates<ObservationSet::kFull>(std::span<const float> observation) {
  return Fallen(kRestHeight_m + kHeightUnit_m * observation[0], kAngleUnit_rad * observation[1],
                kAngleUnit_rad * observation[2]);
}

}  // namespace demorl::stochlite
