#include "common/env/tasks/stoch2/randomisation.h"

#include <array>
#include <numbers>
#include <span>

namespace demorl::stoch2 {
namespace {

constexpr double kFriction = 0.6;
constexpr int kHeadings = 7;
constexpr double kHeadingStep_rad = 15 * std::numbers::pi / 180;
constexpr std::array<double, 4> kAddedMasses_kg = {0, 0.05, 0.1, 0.15};
constexpr std::array<double, 5> kPushes_n = {0, -60, 60, -100, 100};
// Half a control step before step 150, so that rounding of the clock decides nothing; pushes last six steps.
constexpr double kPushTime_s = 0.7475;

double Pick(std::span<const double> values, Random& random) { return values[random.Index(values.size())]; }

}  // namespace

stochlite::Draw DrawEpisode(const RandomisationOptions& options, Random& random) {
  stochlite::Draw draw{.friction = kFriction};
  if (!options.inclines_rad.empty()) {
    const double incline = Pick(options.inclines_rad, random);
    const double heading = options.heading ? kHeadingStep_rad * random.Index(kHeadings) : 0;
    // Rises towards the heading.
    draw.slope = stochlite::InclinedPlane(incline, heading + std::numbers::pi);
  }
  if (options.friction) {
    draw.friction = stochlite::DrawFriction(random);
  }
  if (options.motor_strength) {
    draw.torque_limit_nm = stochlite::DrawTorqueLimit_nm(random);
  }
  if (options.added_mass) {
    for (double& mass : draw.added_mass_kg) {
      mass = Pick(kAddedMasses_kg, random);
    }
  }
  if (options.push) {
    draw.push_n = Pick(kPushes_n, random);
    draw.push_time_s = kPushTime_s;
  }
  return draw;
}

}  // namespace demorl::stoch2
