#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/time/time.h"
#include "common/robot/drivers/actuator_bus.h"
#include "gtest/gtest.h"
#include "tests/fakes/emulated_world.h"
#include "tests/testing/status_matchers.h"

namespace demorl::testing {

inline JointCommand Torque(double torque_nm) {
  return {.mode = ActuatorMode::kTorque, .torque_nm = torque_nm};
}
inline JointCommand Position(double position_rad) {
  return {.mode = ActuatorMode::kPosition, .position_rad = position_rad};
}

// A bus of servos, emulated in a world of their own: ids from 1 in the order of the joints, spread evenly
// over the wires. A protocol's rig adds its servos, its options and the making of the bus.
class ServoRig {
 public:
  ServoRig(int num_joints, int num_wires)
      : world(num_joints), measurements(num_joints), num_wires_(num_wires) {}
  virtual ~ServoRig() = default;

  // By the options as they are; may fail the test.
  virtual void MakeBus() = 0;
  virtual ActuatorBus& any_bus() = 0;
  // For MakeBus.
  virtual void SetEcho() = 0;
  virtual void SetId(int joint, uint8_t id) = 0;
  virtual uint64_t num_collisions() const = 0;
  // A reply from a servo that is not on the bus.
  virtual std::vector<uint8_t> ForeignReply() const = 0;
  // Of the wire's numbers.
  virtual double position_unit_rad() const = 0;
  virtual double torque_unit_nm() const = 0;
  // Requests of a tick on one wire that each get an answer.
  virtual int requests_per_wire() const = 0;

  void Configure(absl::Duration watchdog = absl::ZeroDuration()) {
    MakeBus();
    ASSERT_OK(any_bus().Configure(watchdog));
  }
  BusResult::Code Read(absl::Duration budget = absl::Milliseconds(8)) {
    return any_bus().Read(world.Now() + budget, measurements).code;
  }
  // Ticks of a control loop.
  void RunTicks(int num_ticks, const std::vector<JointCommand>& commands) {
    for (int tick = 0; tick < num_ticks; ++tick) {
      const absl::Duration start = world.Now();
      Read();
      EXPECT_LE(world.Now(), start + absl::Milliseconds(8));
      any_bus().Write(commands);
      world.Advance(start + absl::Milliseconds(10) - world.Now());
    }
  }

  std::vector<JointCommand> AllOf(const JointCommand& command) const {
    return std::vector<JointCommand>(measurements.size(), command);
  }
  int num_joints() const { return static_cast<int>(measurements.size()); }
  int num_wires() const { return num_wires_; }
  int joints_per_wire() const { return num_joints() / num_wires_; }
  // On the other wires than the first.
  int num_others() const { return num_joints() - joints_per_wire(); }
  int num_fresh() const {
    return static_cast<int>(std::count_if(measurements.begin(), measurements.end(),
                                          [](const JointMeasurement& m) { return m.fresh; }));
  }

  EmulatedWorld world;
  std::vector<JointMeasurement> measurements;

 private:
  const int num_wires_;
};

}  // namespace demorl::testing
