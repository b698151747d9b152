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

// The joints of the whole robot in the order of every array of them, in the twin as on the bus: of each leg
// abduction, hip and knee. By these names in stochlite.xml.
inline constexpr int kJointsPerLeg = 3;
inline constexpr int kNumJoints = kNumLegs * kJointsPerLeg;
inline constexpr std::array<const char*, kNumJoints> kJointNames = {
    "fl_abduction", "fl_hip", "fl_knee", "fr_abduction", "fr_hip", "fr_knee",
    "bl_abduction", "bl_hip", "bl_knee", "br_abduction", "br_hip", "br_knee"};

constexpr bool IsLeft(Leg leg) { return leg == Leg::kFrontLeft || leg == Leg::kBackLeft; }
constexpr bool IsFront(Leg leg) { return leg == Leg::kFrontLeft || leg == Leg::kFrontRight; }

// Where a leg's abduction axis meets its hip's plane, from the centre of the four; metres.
constexpr Vector3 HipOffset(Leg leg) {
  return {IsFront(leg) ? 0.167 : -0.167, IsLeft(leg) ? 0.096 : -0.096, 0};
}

// Hips lie this much below the torso's origin.
inline constexpr double kHipDrop_m = 0.005;

}  // namespace demorl::stochlite
