#pragma once

#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/env/tasks/leg/leg_task.h"
#include "common/robot/control/robot_task.h"

namespace demorl {

// The task of the simulated leg on a real one: joint 0 is the hip, joint 1 the knee. Between episodes the leg
// is led to the start of the path by torques of its own, since a bridge that takes torques only is a leg,
// too.
class LegRobotTask final : public RobotTask {
 public:
  // Of the leg environment with this id. NOT_FOUND for another id, naming the known ones.
  static absl::StatusOr<std::unique_ptr<LegRobotTask>> Create(absl::string_view environment_id);

  const EnvironmentSpec& spec() const override { return spec_; }
  int num_joints() const override { return 2; }
  // The torque of each joint.
  std::vector<OperatorAxis> operator_axes() const override { return {{"hip", 0}, {"knee", 1}}; }

  bool Reset(const RobotMeasurement& measurement, absl::Duration under_way,
             std::span<JointCommand> commands) override;
  void BeginEpisode(const RobotMeasurement& measurement, Random& random) override;
  Outcome Evaluate(const RobotMeasurement& measurement, int num_periods) override;
  void Observe(const RobotMeasurement& measurement, std::span<float> observation) override;
  void Command(const RobotMeasurement& measurement, std::span<const float> action,
               std::span<JointCommand> commands) override;

 private:
  LegRobotTask(absl::string_view environment_id, const LegParameters& parameters);

  const EnvironmentSpec spec_;
  LegTask task_;
  LegVector reset_from_rad_{};
};

}  // namespace demorl
