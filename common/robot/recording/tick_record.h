#pragma once

#include <array>
#include <cstdint>
#include <type_traits>

#include "common/base/random.h"
#include "common/robot/drivers/actuator_bus.h"
#include "common/robot/drivers/imu.h"
#include "common/robot/safety/robot_state.h"
#include "common/robot/safety/safety_envelope.h"

namespace demorl {

inline constexpr int kMaxObservationSize = 64;
inline constexpr int kMaxActionSize = 24;

// Where a tick stands in an episode of learning; the meaning is that of an environment's timestep.
enum class TickStep : uint8_t {
  // No episode: disarmed, resetting, stopped.
  kNone,
  // `observation` begins an episode; there is no reward yet.
  kFirst,
  // `reward` belongs to the action of the tick before, which led to `observation`.
  kMid,
  // As kMid, and the episode ends here: terminated, or else truncated. `action` is not taken.
  kLast,
};

// Who chose the action. In an episode kOperator is an intervention.
enum class ActionSource : uint8_t { kNone, kRandom, kPolicy, kOperator, kReset };

// Everything one tick of a control loop saw and did. Plain data of fixed size, so that the loop can hand it
// over without allocating; of the arrays the first num_joints, observation_size, action_size entries count.
struct TickRecord {
  // Number of the control period since the loop started: a gap is a tick that was missed.
  uint64_t index = 0;
  // Nanoseconds on RealClock's time line.
  int64_t scheduled_ns = 0;
  int64_t woke_ns = 0;
  int64_t finished_ns = 0;

  RobotState state = RobotState::kDisarmed;
  // Why it stopped; of a robot that does not move and has no fault, what forbids arming it.
  StopReason reason = StopReason::kNone;
  // What this tick's checks have found.
  StopReason finding = StopReason::kNone;
  // As it was last armed.
  ArmMode mode = ArmMode::kLearn;
  TickStep step = TickStep::kNone;
  ActionSource source = ActionSource::kNone;
  bool terminated = false;
  uint64_t policy_version = 0;
  double reward = 0;
  // Of the draws of actions, before this tick's.
  Random::State random{};
  std::array<float, kMaxObservationSize> observation{};
  std::array<float, kMaxActionSize> action{};  // normalised to [-1, 1]

  // At the joints, in the robot's own signs and zeros.
  std::array<JointMeasurement, kMaxJoints> measured{};
  ImuSample imu;
  // Share of torque allowed, and the envelope's state before it was applied.
  double torque_share = 0;
  SafetyEnvelope::State envelope{};
  // Before and after the envelope; what was written to the bus is `commanded`, or nothing but kFree after a
  // dry run was armed.
  std::array<JointCommand, kMaxJoints> requested{};
  std::array<JointCommand, kMaxJoints> commanded{};
  SafetyEnvelope::Clamps clamps{};
};

static_assert(std::is_trivially_copyable_v<TickRecord>);

}  // namespace demorl
