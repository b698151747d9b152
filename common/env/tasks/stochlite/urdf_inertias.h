#pragma once

#include <mujoco/mujoco.h>

namespace demorl::stochlite {

// Gives the legs of `model` the inertias that the authors' URDF states, read as its format defines them.
void SetUrdfInertias(mjModel* model);

}  // namespace demorl::stochlite
