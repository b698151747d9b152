#pragma once

#include <array>

namespace demorl {

// Unit quaternions (w, x, y, z) in Hamilton's convention; q of a rotation R_AB takes vectors from B to A.
using Quaternion = std::array<double, 4>;

enum class Axis { kX = 1, kY = 2, kZ = 3 };

Quaternion AboutAxis(Axis axis, double angle_rad);
Quaternion Product(const Quaternion& a, const Quaternion& b);
Quaternion Inverse(const Quaternion& q);

// Scales `q` to unit length. False, and unchanged, unless its length is 1 within a tenth.
bool Normalise(Quaternion& q);

// The axis times the angle, the shorter way round: |result| <= pi.
std::array<double, 3> RotationVector(const Quaternion& q);

// Row-major rotation matrix.
std::array<std::array<double, 3>, 3> Matrix(const Quaternion& q);

}  // namespace demorl
