#pragma once

#include <array>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/env/tasks/stochlite/state_estimate.h"
#include "common/env/tasks/stochlite/stochlite_variants.h"
#include "common/env/tasks/stochlite/task_state.h"
#include "common/env/tasks/stochlite/trot_generator.h"
#include "common/robot/control/robot_task.h"

namespace demorl {

// The task of the simulated StochLite on a real one. Joints are in the order of stochlite::kJointNames, in
// the twin's signs. Commands are positions. Measurements come with a sample of an IMU whose axes are the
// torso's; CheckStochLiteSetup sees to it.
//
// Differs: what the twin knows is estimated (StateEstimate); so the height that the reward asks for follows
// from the estimated slope, and power is that of the torques the servos report. Yaw counts from the start of
// the episode. Ticks that were missed do not move the gait on: the robot stood still for them, and feet that
// jump ahead would be worse than a step that takes longer.
class StochLiteRobotTask final : public RobotTask {
 public:
  // Of the environment with this id. NOT_FOUND for another id, naming the known ones.
  static absl::StatusOr<std::unique_ptr<StochLiteRobotTask>> Create(absl::string_view environment_id);

  const EnvironmentSpec& spec() const override { return spec_; }
  int num_joints() const override { return stochlite::kNumJoints; }
  // Of GaitFromAction; positive is forward and to the left. The feet's shifts stay 0.
  std::vector<OperatorAxis> operator_axes() const override {
    return {{"forward", 12}, {"turn", 14}, {"lateral", 13}};
  }

  // Leads the legs from where they are to the stance in a second, or longer if they have far to go. There
  // means there and upright: a robot that lies on its side waits for somebody to set it up.
  bool Reset(const RobotMeasurement& measurement, absl::Duration under_way,
             std::span<JointCommand> commands) override;
  void BeginEpisode(const RobotMeasurement& measurement, Random& random) override;
  Outcome Evaluate(const RobotMeasurement& measurement, int num_periods) override;
  void Observe(const RobotMeasurement& measurement, std::span<float> observation) override;
  void Command(const RobotMeasurement& measurement, std::span<const float> action,
               std::span<JointCommand> commands) override;

  // At the last measurement, as well as it is known.
  const stochlite::TaskState& state() const { return state_; }

 private:
  using JointPositions = std::array<double, stochlite::kNumJoints>;

  StochLiteRobotTask(absl::string_view environment_id, const stochlite::TwinOptions& options);

  void BeginReset(const RobotMeasurement& measurement);
  bool StandsUpright(const RobotMeasurement& measurement) const;
  void UpdateState(const stochlite::BodyReading& reading);

  const EnvironmentSpec spec_;
  const stochlite::TwinOptions options_;
  stochlite::TrotGenerator generator_;
  stochlite::StateEstimate estimate_;
  const JointPositions stance_rad_;
  JointPositions reset_from_rad_{};
  absl::Duration reset_time_;
  stochlite::VelocityCommand command_;
  // In the IMU's world.
  double commanded_heading_rad_ = 0;
  stochlite::TaskState state_;
};

}  // namespace demorl
