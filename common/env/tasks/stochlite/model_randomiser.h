#pragma once

#include <mujoco/mujoco.h>

#include "common/env/tasks/stochlite/randomisation.h"

namespace demorl::stochlite {

// Puts draws into a model that no other environment uses.
class ModelRandomiser {
 public:
  explicit ModelRandomiser(mjModel* model);

  // Also sets what MuJoCo derives from masses; `data` of the model loses its state.
  void Apply(const Draw& draw, mjData* data);

 private:
  mjModel* const model_;
  const int ground_body_;
  const int ground_geom_;
  const int torso_body_;
  const double torso_mass_kg_;
};

}  // namespace demorl::stochlite
