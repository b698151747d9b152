#include "common/env/tasks/stoch2/observation.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "common/base/check.h"

namespace demorl::stoch2 {
namespace {

constexpr double kMaxRoll_rad = 30 * std::numbers::pi / 180;
constexpr double kMaxPitch_rad = 35 * std::numbers::pi / 180;
// Of the newest attitude in an observation.
constexpr int kNewest = 3 * (kHistoryLength - 1);

}  // namespace

void AttitudeHistory::Add(const stochlite::Attitude& attitude) {
  std::ranges::rotate(attitudes_, attitudes_.begin() + 1);
  attitudes_.back() = attitude;
}

void WriteObservation(const AttitudeHistory& history, const stochlite::PlaneAngles& plane,
                      std::span<double> observation) {
  DEMORL_CHECK(observation.size() == kObservationSize);
  size_t i = 0;
  for (const stochlite::Attitude& attitude : history.attitudes()) {
    observation[i++] = attitude.roll_rad;
    observation[i++] = attitude.pitch_rad;
    observation[i++] = attitude.yaw_rad;
  }
  observation[i++] = plane.roll_rad;
  observation[i++] = plane.pitch_rad;
}

bool LeansOver(const stochlite::Attitude& attitude) {
  return !(std::abs(attitude.roll_rad) <= kMaxRoll_rad && std::abs(attitude.pitch_rad) <= kMaxPitch_rad);
}

bool Terminates(std::span<const float> observation) {
  return LeansOver({.roll_rad = observation[kNewest], .pitch_rad = observation[kNewest + 1]});
}

}  // namespace demorl::stoch2
