#include "common/env/tasks/stoch2/stoch2_variants.h"

#include <algorithm>
#include <array>
#include <numbers>
#include <utility>

#include "absl/time/time.h"
#include "common/env/tasks/stoch2/foot_path.h"
#include "common/env/tasks/stoch2/observation.h"

namespace demorl::stoch2 {
namespace {

constexpr double kDegree = std::numbers::pi / 180;
constexpr double kImuNoiseStddev_rad = 0.04;
// Differs: the thesis's; the authors' training takes 400.
constexpr int kMaxEpisodeSteps = 500;

// The bounds at `value` of all actions; each on its own, for a large forward shift limits the one up.
std::vector<double> CommandAt(double value) {
  std::vector<double> command;
  for (const auto parameter : {&FootPath::step_length_m, &FootPath::steer_rad, &FootPath::up_shift_m,
                               &FootPath::forward_shift_m, &FootPath::outward_shift_m}) {
    std::array<double, kActionSize> action{};
    std::fill_n(action.begin() + command.size(), kNumLegs, value);
    const FootPath path = PathsFromAction(action)[0];
    command.insert(command.end(), kNumLegs, path.*parameter);
  }
  return command;
}

}  // namespace

EnvironmentSpec TwinSpec(std::string environment_id) {
  return {.environment_id = std::move(environment_id),
          .observation_size = kObservationSize,
          .action_size = kActionSize,
          .command_minimum = CommandAt(-1),
          .command_maximum = CommandAt(1),
          .control_period = absl::Seconds(kControlPeriod_s),
          .max_episode_steps = kMaxEpisodeSteps};
}

std::vector<Stoch2Variant> Stoch2Variants() {
  TwinOptions learning;
  learning.randomisation = {.inclines_rad = {5 * kDegree, 7 * kDegree, 9 * kDegree, 11 * kDegree},
                            .heading = true};
  // The authors' curriculum goes on with these.
  TwinOptions steep = learning;
  steep.randomisation.inclines_rad = {7 * kDegree, 9 * kDegree, 11 * kDegree};
  TwinOptions robust = learning;
  robust.randomisation.friction = true;
  robust.randomisation.motor_strength = true;
  robust.randomisation.added_mass = true;
  robust.randomisation.push = true;
  TwinOptions noisy = learning;
  noisy.imu_noise_stddev_rad = kImuNoiseStddev_rad;
  return {{"Stoch2-v0", learning},
          {"Stoch2Steep-v0", steep},
          {"Stoch2Robust-v0", robust},
          {"Stoch2Noisy-v0", noisy}};
}

}  // namespace demorl::stoch2
