#pragma once

#include <mujoco/mujoco.h>

#include <span>
#include <vector>

#include "common/env/tasks/stochlite/randomisation.h"

namespace demorl::stochlite {

// Puts draws into a model that no other environment uses.
class ModelRandomiser {
 public:
  // `loaded_bodies` carry the added masses.
  explicit ModelRandomiser(mjModel* model, std::span<const char* const> loaded_bodies = {});

  // Also sets what MuJoCo derives from masses; `data` of the model loses its state.
  void Apply(const Draw& draw, mjData* data);

 private:
  mjModel* const model_;
  const int ground_body_;
  const int ground_geom_;
  struct LoadedBody {
    int body = 0;
    double mass_kg = 0;
  };
  std::vector<LoadedBody> loaded_bodies_;
};

}  // namespace demorl::stochlite
