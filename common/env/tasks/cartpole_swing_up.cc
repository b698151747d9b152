#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/env/state_codec.h"
#include "common/env/tasks/tasks.h"

namespace demorl {
namespace {

// Figures of Gymnasium's CartPole-v1, after [Barto, Sutton and Anderson 1983].
constexpr double kGravity = 9.8;         // m/s^2
constexpr double kCartMass = 1.0;        // kg
constexpr double kPoleMass = 0.1;        // kg
constexpr double kPoleHalfLength = 0.5;  // m
constexpr double kMaxForce = 10.0;       // N
constexpr double kControlPeriod = 0.02;  // s, one Euler step
constexpr double kPositionCost = 0.01;   // 1/m^2
constexpr double kResetNoise = 0.05;     // half-width, of all four state variables
// Differs: CartPole ends where the cart leaves +-2.4 m; here a spring and a damper push it back, so that an
// episode always runs its full length and the state stays bounded.
constexpr double kTrackHalfLength = 2.4;  // m
constexpr double kStopStiffness = 100.0;  // N/m
constexpr double kStopDamping = 10.0;     // N s/m

// Swing-up of a pole on a cart: the episode starts with the pole hanging; reward cos(angle) - 0.01 x^2 of the
// state reached. Observation: x, velocity, cos(angle), sin(angle), angular velocity; angle 0 is upright.
class CartpoleSwingUp final : public Environment {
 public:
  CartpoleSwingUp(EnvironmentSpec spec, uint64_t seed) : spec_(std::move(spec)), random_(seed) {}

  const EnvironmentSpec& spec() const override { return spec_; }

  Timestep Reset() override {
    for (double* variable : {&state_.x, &state_.velocity, &state_.angle, &state_.angular_velocity}) {
      *variable = random_.Uniform(-kResetNoise, kResetNoise);
    }
    state_.angle += std::numbers::pi;
    elapsed_steps_ = 0;
    Observe();
    return {.step_type = StepType::kFirst, .observation = observation_};
  }

  Timestep Step(std::span<const double> action) override {
    DEMORL_CHECK_MSG(elapsed_steps_ >= 0, "Step outside an episode");
    DEMORL_CHECK(action.size() == 1);
    Integrate(kMaxForce * std::clamp(action[0], -1.0, 1.0));
    Observe();
    const bool truncated = ++elapsed_steps_ >= spec_.max_episode_steps;
    if (truncated) {
      elapsed_steps_ = -1;
    }
    return {.step_type = truncated ? StepType::kLast : StepType::kMid,
            .reward = std::cos(state_.angle) - kPositionCost * state_.x * state_.x,
            .truncated = truncated,
            .observation = observation_};
  }

  std::string SaveState() const override {
    StateWriter writer;
    writer.Text(spec_.environment_id);
    writer.Value(random_.SaveState());
    writer.Value(elapsed_steps_);
    writer.Value(state_);
    return writer.Take();
  }

  absl::Status RestoreState(absl::string_view state) override {
    StateReader reader(state);
    absl::string_view id;
    Random::State random;
    int64_t elapsed_steps = 0;
    Physics physics;
    if (!reader.Text(id) || id != spec_.environment_id || !reader.Value(random) ||
        !reader.Value(elapsed_steps) || !reader.Value(physics) || !reader.AtEnd()) {
      return absl::InvalidArgumentError(absl::StrCat("not a saved state of ", spec_.environment_id));
    }
    random_.RestoreState(random);
    elapsed_steps_ = elapsed_steps;
    state_ = physics;
    return absl::OkStatus();
  }

 private:
  struct Physics {
    double x = 0;                 // m
    double velocity = 0;          // m/s
    double angle = 0;             // rad
    double angular_velocity = 0;  // rad/s
  };

  double StopForce() const {
    const double excess = state_.x - std::clamp(state_.x, -kTrackHalfLength, kTrackHalfLength);
    return excess == 0 ? 0 : -kStopStiffness * excess - kStopDamping * state_.velocity;
  }

  void Integrate(double force) {
    const double total_mass = kCartMass + kPoleMass;
    const double sine = std::sin(state_.angle), cosine = std::cos(state_.angle);
    const double pushed =
        (force + StopForce() +
         kPoleMass * kPoleHalfLength * state_.angular_velocity * state_.angular_velocity * sine) /
        total_mass;
    const double angular_acceleration =
        (kGravity * sine - cosine * pushed) /
        (kPoleHalfLength * (4.0 / 3.0 - kPoleMass * cosine * cosine / total_mass));
    const double acceleration =
        pushed - kPoleMass * kPoleHalfLength * angular_acceleration * cosine / total_mass;
    state_.x += kControlPeriod * state_.velocity;
    state_.velocity += kControlPeriod * acceleration;
    state_.angle += kControlPeriod * state_.angular_velocity;
    state_.angular_velocity += kControlPeriod * angular_acceleration;
  }

  void Observe() {
    observation_ = {state_.x, state_.velocity, std::cos(state_.angle), std::sin(state_.angle),
                    state_.angular_velocity};
  }

  const EnvironmentSpec spec_;
  Random random_;
  int64_t elapsed_steps_ = -1;
  Physics state_;
  std::array<double, 5> observation_{};
};

}  // namespace

std::vector<NativeTask> CartpoleSwingUpTasks() {
  const EnvironmentSpec spec =
      SymmetricSpec("CartpoleSwingUp-v0", 5, 1, kMaxForce, absl::Milliseconds(20), 500);
  auto make = [spec](uint64_t seed) -> absl::StatusOr<std::unique_ptr<Environment>> {
    return std::unique_ptr<Environment>(std::make_unique<CartpoleSwingUp>(spec, seed));
  };
  return {{.spec = spec, .termination_rule = NeverTerminates, .make = std::move(make)}};
}

}  // namespace demorl
