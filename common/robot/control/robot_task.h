#pragma once

#include <span>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "common/base/random.h"
#include "common/robot/drivers/actuator_bus.h"
#include "common/robot/drivers/imu.h"
#include "common/tensor/environment_spec.h"

namespace demorl {

// What is known of a robot at the start of a tick, at its joints, in its own signs and zeros.
struct RobotMeasurement {
  absl::Duration time;
  std::span<const JointMeasurement> joints;
  // Null for a robot without one.
  const ImuSample* imu = nullptr;
};

// A component of the action that an operator may steer.
struct OperatorAxis {
  std::string name;
  int action_index = 0;
};

// The task of one robot: how measurements become observations and rewards, and actions become joint commands.
// Of the control loop's thread. All methods but the constructor and operator_axes are real-time safe.
//
// An episode: Reset each tick until it answers true; BeginEpisode; then per tick Observe and Command, and in
// each tick after the first one, before them, Evaluate.
class RobotTask {
 public:
  virtual ~RobotTask() = default;

  virtual const EnvironmentSpec& spec() const = 0;
  virtual int num_joints() const = 0;
  // What an operator who acts in the policy's place steers, the most useful first; the rest of the action is
  // 0 then. By default each component for itself.
  virtual std::vector<OperatorAxis> operator_axes() const {
    std::vector<OperatorAxis> axes;
    for (int i = 0; i < spec().action_size; ++i) {
      axes.push_back({absl::StrCat("action ", i), i});
    }
    return axes;
  }

  // Commands [J] that lead the robot to where episodes begin, given how long it has been under way; true once
  // it is there.
  virtual bool Reset(const RobotMeasurement& measurement, absl::Duration under_way,
                     std::span<JointCommand> commands) = 0;

  virtual void BeginEpisode(const RobotMeasurement& measurement, Random& random) = 0;

  struct Outcome {
    double reward = 0;
    bool terminated = false;
  };
  // Values what the last command has led to, `num_periods` control periods after it (more than one when ticks
  // were missed), and moves the task's own clock on by them.
  virtual Outcome Evaluate(const RobotMeasurement& measurement, int num_periods) = 0;

  // Fills all of `observation` [O].
  virtual void Observe(const RobotMeasurement& measurement, std::span<float> observation) = 0;

  // Commands [J] for `action` [A] in [-1, 1].
  virtual void Command(const RobotMeasurement& measurement, std::span<const float> action,
                       std::span<JointCommand> commands) = 0;
};

}  // namespace demorl
