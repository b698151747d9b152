#include "common/env/tasks/stochlite/randomisation.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "common/base/check.h"

namespace demorl::stochlite {
namespace {

constexpr double kPushDuration_s = 0.03;
constexpr double kMaxPush_n = 40;
// A push comes within an episode of 10 s, when the robot walks.
constexpr double kFirstPush_s = 1;
constexpr double kLastPush_s = 9;

double DrawWithin(Random& random, double mean, double stddev, double low, double high) {
  return std::clamp(mean + stddev * random.Normal(), low, high);
}

int Find(const mjModel* model, int kind, const char* name) {
  const int id = mj_name2id(model, kind, name);
  DEMORL_CHECK_MSG(id >= 0, name);
  return id;
}

// The plane of this incline, which falls towards `direction_rad`.
PlaneAngles Inclined(double incline_rad, double direction_rad) {
  const double sine = std::sin(incline_rad);
  return PlaneFromNormal(
      {sine * std::cos(direction_rad), sine * std::sin(direction_rad), std::cos(incline_rad)});
}

}  // namespace

Draw DrawEpisode(const RandomisationOptions& options, Random& random) {
  Draw draw{.slope = options.slope};
  if (options.max_incline_rad > 0) {
    const double incline = random.Uniform(0, options.max_incline_rad);
    draw.slope = Inclined(incline, random.Uniform(-std::numbers::pi, std::numbers::pi));
  }
  draw.command.forward_m_s = random.Uniform(options.min_forward_m_s, options.max_forward_m_s);
  if (options.friction) {
    draw.friction = DrawWithin(random, 0.6, 0.08, 0.55, 0.8);
  }
  if (options.motor_strength) {
    draw.torque_limit_nm = DrawWithin(random, 6.5, 0.4, 5, 8);
  }
  if (options.added_mass) {
    draw.added_mass_kg = random.Uniform(0, 0.15);
  }
  if (options.push) {
    draw.push_n = random.Uniform(-kMaxPush_n, kMaxPush_n);
    draw.push_time_s = random.Uniform(kFirstPush_s, kLastPush_s);
  }
  return draw;
}

double PushAt(const Draw& draw, double time_s) {
  return time_s >= draw.push_time_s && time_s < draw.push_time_s + kPushDuration_s ? draw.push_n : 0;
}

ModelRandomiser::ModelRandomiser(mjModel* model)
    : model_(model),
      ground_body_(Find(model, mjOBJ_BODY, "ground")),
      ground_geom_(Find(model, mjOBJ_GEOM, "ground")),
      torso_body_(Find(model, mjOBJ_BODY, "torso")),
      torso_mass_kg_(model->body_mass[torso_body_]) {}

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
  const double mass = torso_mass_kg_ + draw.added_mass_kg;
  if (model_->body_mass[torso_body_] != mass) {
    model_->body_mass[torso_body_] = mass;
    mj_setConst(model_, data);
  }
}

}  // namespace demorl::stochlite
