#pragma once

#include <mujoco/mujoco.h>

#include "common/env/mujoco_environment.h"

namespace demorl {

// Commands of Gymnasium's humanoids are bounded by a float32.
inline constexpr double kHumanoidMaxCommand = 0.4f;

// What of the body is observed beside the 45 positions and velocities.
enum class HumanoidObservation {
  kPositionsAndVelocities,  // 45
  kWithoutWorld,            // 348: as v5
  kWithWorld,               // 376: as v4, with entries of the world body and root joint that are always zero
};

// Positions but x and y, velocities; then inertia and velocity about the centre of mass of each body,
// actuator force of each joint, external force on each body.
void ObserveHumanoid(const mjModel& model, const mjData& data, HumanoidObservation parts,
                     std::span<double> observation);

}  // namespace demorl
