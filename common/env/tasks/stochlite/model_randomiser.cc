#include "common/env/tasks/stochlite/model_randomiser.h"

#include <algorithm>
#include <cmath>

#include "common/base/check.h"

namespace demorl::stochlite {
namespace {

int Find(const mjModel* model, int kind, const char* name) {
  const int id = mj_name2id(model, kind, name);
  DEMORL_CHECK_MSG(id >= 0, name);
  return id;
}

}  // namespace

ModelRandomiser::ModelRandomiser(mjModel* model, std::span<const char* const> loaded_bodies)
    : model_(model),
      ground_body_(Find(model, mjOBJ_BODY, "ground")),
      ground_geom_(Find(model, mjOBJ_GEOM, "ground")) {
  DEMORL_CHECK(loaded_bodies.size() <= Draw{}.added_mass_kg.size());
  for (const char* name : loaded_bodies) {
    const int body = Find(model, mjOBJ_BODY, name);
    loaded_bodies_.push_back({.body = body, .mass_kg = model->body_mass[body]});
  }
}

void ModelRandomiser::Apply(const Draw& draw, mjData* data) {
  const double half_roll = draw.slope.roll_rad / 2, half_pitch = draw.slope.pitch_rad / 2;
  // Ry(pitch) Rx(roll).
  const double quaternion[4] = {
      std::cos(half_pitch) * std::cos(half_roll), std::cos(half_pitch) * std::sin(half_roll),
      std::sin(half_pitch) * std::cos(half_roll), -std::sin(half_pitch) * std::sin(half_roll)};
  std::ranges::copy(quaternion, model_->body_quat + 4 * ground_body_);
  model_->geom_friction[3 * ground_geom_] = draw.friction;
  for (int motor = 0; motor < model_->nu; ++motor) {
    model_->actuator_forcerange[2 * motor] = -draw.torque_limit_nm;
    model_->actuator_forcerange[2 * motor + 1] = draw.torque_limit_nm;
  }
  bool changed = false;
  for (size_t i = 0; i < loaded_bodies_.size(); ++i) {
    double* mass = &model_->body_mass[loaded_bodies_[i].body];
    const double loaded = loaded_bodies_[i].mass_kg + draw.added_mass_kg[i];
    changed |= *mass != loaded;
    *mass = loaded;
  }
  if (changed) {
    mj_setConst(model_, data);
  }
}

}  // namespace demorl::stochlite
