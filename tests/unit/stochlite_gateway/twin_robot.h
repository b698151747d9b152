#pragma once

#include <memory>
#include <vector>

#include "absl/time/time.h"
#include "common/env/tasks/stochlite/stochlite_environment.h"
#include "common/robot/control/robot_task.h"

namespace demorl::testing {

// The simulated StochLite as its gateway sees the real one: measurements of twelve joints and an IMU in the
// torso come out, joint commands go in, as positions for the twin's own servos.
class TwinRobot {
 public:
  explicit TwinRobot(const stochlite::PlaneAngles& slope = {});

  // Puts the torso there, turned by angles, at rest; `joints` [12] as kJointNames.
  void Place(double height_m, const stochlite::Attitude& attitude, std::span<const double> joints_rad);
  // A control period under these commands [12]; joints that are not commanded positions go limp.
  void Advance(std::span<const JointCommand> commands);

  // Valid until the next call.
  RobotMeasurement Measure();

  // The truth.
  double x_m() const { return data_->qpos[0]; }
  double height_m() const { return data_->qpos[2]; }

 private:
  struct DeleteData {
    void operator()(mjData* data) const { mj_deleteData(data); }
  };

  std::unique_ptr<stochlite::StochLiteEnvironment> environment_;
  std::unique_ptr<mjModel, void (*)(mjModel*)> model_;
  std::unique_ptr<mjData, DeleteData> data_;
  std::vector<JointMeasurement> joints_;
  ImuSample imu_;
};

}  // namespace demorl::testing
