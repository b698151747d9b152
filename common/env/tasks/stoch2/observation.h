#pragma once

#include <array>
#include <span>

#include "common/env/tasks/stochlite/attitude.h"
#include "common/env/tasks/stochlite/plane_estimate.h"

namespace demorl::stoch2 {

inline constexpr int kHistoryLength = 3;
inline constexpr int kObservationSize = 3 * kHistoryLength + 2;

// The torso's attitude at the last control steps, the newest last. Real-time safe.
class AttitudeHistory {
 public:
  // As if it had always been `attitude`.
  // Differs: the authors carry the history over from one episode to the next.
  void Begin(const stochlite::Attitude& attitude) { attitudes_.fill(attitude); }
  void Add(const stochlite::Attitude& attitude);

  const std::array<stochlite::Attitude, kHistoryLength>& attitudes() const { return attitudes_; }

 private:
  std::array<stochlite::Attitude, kHistoryLength> attitudes_{};
};

// Fills `observation` [11]: roll, pitch and yaw two steps ago, one step ago and now; roll and pitch of the
// slope as estimated. Source: the authors' stoch2_pybullet_env.py. Real-time safe.
void WriteObservation(const AttitudeHistory& history, const stochlite::PlaneAngles& plane,
                      std::span<double> observation);

// Whether the torso leans so far that the episode has terminated, or its attitude is no number.
bool LeansOver(const stochlite::Attitude& attitude);

// The same from an observation; the authors' third limit, 0.7 m of height, is not observed.
bool Terminates(std::span<const float> observation);

}  // namespace demorl::stoch2
