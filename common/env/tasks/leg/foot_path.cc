#include "common/env/tasks/leg/foot_path.h"

#include <algorithm>
#include <cmath>

namespace demorl {

LegVector FootPath::PositionAt(double phase) const {
  return {half_length_m_ * std::cos(phase), base_m_ + lift_m_ * std::max(0.0, -std::sin(phase))};
}

LegVector FootPath::VelocityAt(double phase, double phase_rate_rad_s) const {
  const double lifting = std::sin(phase) < 0 ? -lift_m_ * std::cos(phase) : 0;
  return {-half_length_m_ * std::sin(phase) * phase_rate_rad_s, lifting * phase_rate_rad_s};
}

}  // namespace demorl
