#pragma once

#include <array>

namespace demorl::stochlite {

// The legs in the order of every array here; x forward, y left, z up.
enum class Leg { kFrontLeft, kFrontRight, kBackLeft, kBackRight };

inline constexpr int kNumLegs = 4;
inline constexpr std::array<Leg, kNumLegs> kLegs = {Leg::kFrontLeft, Leg::kFrontRight, Leg::kBackLeft,
                                                    Leg::kBackRight};

template <typename T>
using PerLeg = std::array<T, kNumLegs>;
using Vector3 = std::array<double, 3>;

constexpr int Index(Leg leg) { return static_cast<int>(leg); }
constexpr bool IsLeft(Leg leg) { return leg == Leg::kFrontLeft || leg == Leg::kBackLeft; }
constexpr bool IsFront(Leg leg) { return leg == Leg::kFrontLeft || leg == Leg::kFrontRight; }

// Where a leg's abduction axis meets its hip's plane, from the centre of the four; metres.
constexpr Vector3 HipOffset(Leg leg) {
  return {IsFront(leg) ? 0.167 : -0.167, IsLeft(leg) ? 0.096 : -0.096, 0};
}

}  // namespace demorl::stochlite
