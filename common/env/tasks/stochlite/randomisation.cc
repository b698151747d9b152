#include "common/env/tasks/stochlite/randomisation.h"

#include <algorithm>
#include <cmath>
#include <numbers>

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

}  // namespace

double DrawFriction(Random& random) { return DrawWithin(random, 0.6, 0.08, 0.55, 0.8); }

double DrawTorqueLimit_nm(Random& random) { return DrawWithin(random, 6.5, 0.4, 5, 8); }

PlaneAngles InclinedPlane(double incline_rad, double direction_rad) {
  const double sine = std::sin(incline_rad);
  return PlaneFromNormal(
      {sine * std::cos(direction_rad), sine * std::sin(direction_rad), std::cos(incline_rad)});
}

Draw DrawEpisode(const RandomisationOptions& options, Random& random) {
  Draw draw{.slope = options.slope};
  if (options.max_incline_rad > 0) {
    const double incline = random.Uniform(0, options.max_incline_rad);
    draw.slope = InclinedPlane(incline, random.Uniform(-std::numbers::pi, std::numbers::pi));
  }
  draw.command.forward_m_s = random.Uniform(options.min_forward_m_s, options.max_forward_m_s);
  if (options.friction) {
    draw.friction = DrawFriction(random);
  }
  if (options.motor_strength) {
    draw.torque_limit_nm = DrawTorqueLimit_nm(random);
  }
  if (options.added_mass) {
    draw.added_mass_kg[0] = random.Uniform(0, 0.15);
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

}  // namespace demorl::stochlite
