#include "common/env/tasks/stochlite/plane_estimate.h"

#include <cmath>

#include "gmock/gmock.h"

namespace demorl::stochlite {
namespace {

constexpr PerLeg<bool> kAll = {true, true, true, true};
constexpr PerLeg<bool> kFrontLeftPair = {true, false, false, true};
constexpr PerLeg<bool> kFrontRightPair = {false, true, true, false};

Vector3 NormalOf(const PlaneAngles& plane) {
  return TorsoToHeading({.roll_rad = plane.roll_rad, .pitch_rad = plane.pitch_rad}, {0, 0, 1});
}

// `v` of the heading frame, along the axes of a torso with this attitude.
Vector3 HeadingToTorso(const Attitude& attitude, const Vector3& v) {
  // The rows of the inverse are the columns of the rotation.
  Vector3 result{};
  for (int axis = 0; axis < 3; ++axis) {
    Vector3 unit{};
    unit[axis] = 1;
    const Vector3 column = TorsoToHeading(attitude, unit);
    result[axis] = column[0] * v[0] + column[1] * v[1] + column[2] * v[2];
  }
  return result;
}

// Feet of a torso with this attitude, level distances below it, on a plane through (0, 0, -0.25).
PerLeg<Vector3> FeetOn(const PlaneAngles& plane, const Attitude& attitude) {
  const Vector3 normal = NormalOf(plane);
  PerLeg<Vector3> feet;
  for (const Leg leg : kLegs) {
    const double x = (IsFront(leg) ? 0.16 : -0.18), y = (IsLeft(leg) ? 0.15 : -0.13);
    const double z = -0.25 - (normal[0] * x + normal[1] * y) / normal[2];
    feet[Index(leg)] = HeadingToTorso(attitude, {x, y, z});
  }
  return feet;
}

TEST(AttitudeTest, FollowsFromTheQuaternion) {
  // Yaw 0.4, pitch -0.2, roll 0.1.
  const double cy = std::cos(0.2), sy = std::sin(0.2), cp = std::cos(-0.1), sp = std::sin(-0.1),
               cr = std::cos(0.05), sr = std::sin(0.05);
  const std::array<double, 4> quaternion = {cr * cp * cy + sr * sp * sy, sr * cp * cy - cr * sp * sy,
                                            cr * sp * cy + sr * cp * sy, cr * cp * sy - sr * sp * cy};
  const Attitude attitude = AttitudeFromQuaternion(quaternion);
  EXPECT_NEAR(attitude.roll_rad, 0.1, 1e-12);
  EXPECT_NEAR(attitude.pitch_rad, -0.2, 1e-12);
  EXPECT_NEAR(attitude.yaw_rad, 0.4, 1e-12);
}

TEST(PlaneFromNormalTest, IsTheAttitudeOfATorsoLevelWithThePlane) {
  for (double roll = -0.3; roll <= 0.3; roll += 0.1) {
    for (double pitch = -0.3; pitch <= 0.3; pitch += 0.1) {
      const PlaneAngles plane = PlaneFromNormal(NormalOf({roll, pitch}));
      EXPECT_NEAR(plane.roll_rad, roll, 1e-12);
      EXPECT_NEAR(plane.pitch_rad, pitch, 1e-12);
    }
  }
}

TEST(PlaneFromNormalTest, GroundThatRisesAheadHasANegativePitch) {
  EXPECT_LT(PlaneFromNormal({-0.1, 0, 1}).pitch_rad, 0);
  // And ground that rises to the left a positive roll.
  EXPECT_GT(PlaneFromNormal({0, -0.1, 1}).roll_rad, 0);
}

TEST(PlaneEstimateTest, FindsExactPlanesWhateverTheTorsoDoes) {
  for (double roll = -0.2; roll <= 0.2; roll += 0.1) {
    for (double pitch = -0.2; pitch <= 0.2; pitch += 0.1) {
      for (const Attitude& attitude :
           {Attitude{}, Attitude{roll, pitch, 0}, Attitude{-0.2, 0.15, 0}, Attitude{0.1, -0.3, 1.2}}) {
        PlaneEstimate estimate;
        estimate.Update(FeetOn({roll, pitch}, attitude), kAll, attitude);
        EXPECT_NEAR(estimate.angles().roll_rad, roll, 1e-9);
        EXPECT_NEAR(estimate.angles().pitch_rad, pitch, 1e-9);
      }
    }
  }
}

TEST(PlaneEstimateTest, RemembersEachDiagonalFromWhenBothItsFeetStood) {
  const PlaneAngles slope = {0.05, -0.12};
  PlaneEstimate estimate;
  const Attitude early = {0.02, -0.1, 0}, late = {-0.03, -0.05, 0};
  estimate.Update(FeetOn(slope, early), kFrontLeftPair, early);
  estimate.Update(FeetOn(slope, late), kFrontRightPair, late);
  EXPECT_NEAR(estimate.angles().roll_rad, slope.roll_rad, 1e-9);
  EXPECT_NEAR(estimate.angles().pitch_rad, slope.pitch_rad, 1e-9);
}

TEST(PlaneEstimateTest, IgnoresFeetInTheAir) {
  PlaneEstimate estimate;
  estimate.Update(FeetOn({}, {}), kAll, {});
  PerLeg<Vector3> lifted = FeetOn({}, {});
  lifted[Index(Leg::kFrontLeft)][2] += 0.08;
  estimate.Update(lifted, {false, true, true, true}, {});
  EXPECT_NEAR(estimate.angles().roll_rad, 0, 1e-12);
  EXPECT_NEAR(estimate.angles().pitch_rad, 0, 1e-12);
  estimate.Update(lifted, kAll, {});
  EXPECT_GT(std::abs(estimate.angles().pitch_rad), 0.05);
}

TEST(PlaneEstimateTest, IsLevelAtFirstAndAfterAReset) {
  PlaneEstimate estimate;
  EXPECT_NEAR(estimate.angles().pitch_rad, 0, 1e-12);
  estimate.Update(FeetOn({0.1, 0.1}, {}), kAll, {});
  estimate.Reset();
  EXPECT_NEAR(estimate.angles().roll_rad, 0, 1e-12);
  EXPECT_NEAR(estimate.angles().pitch_rad, 0, 1e-12);
}

TEST(PlaneEstimateTest, FeetOnOneLineGiveNoPlaneAndNoNonsense) {
  PlaneEstimate estimate;
  estimate.Update(PerLeg<Vector3>{}, kAll, {});
  EXPECT_EQ(estimate.angles().roll_rad, 0);
  EXPECT_EQ(estimate.angles().pitch_rad, 0);
}

}  // namespace
}  // namespace demorl::stochlite
