#pragma once

#include <limits>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/env/mj_handles.h"
#include "common/robot/emulation/device_emulator.h"

namespace demorl {

// A robot's twin as a plant: torques at its actuated hinges. The model's own actuators, which in a model for
// learning may be servos, are switched off. Of one thread.
class MujocoPlant final : public RobotPlant {
 public:
  // `joint_names`: hinges of the model, in the order of the robot's joints. NOT_FOUND naming a joint that the
  // model lacks, INVALID_ARGUMENT for one that is no hinge.
  static absl::StatusOr<std::unique_ptr<MujocoPlant>> Create(const mjModel& model,
                                                             const std::vector<std::string>& joint_names);

  int num_joints() const override { return static_cast<int>(position_addresses_.size()); }
  // In whole steps of the model; the rest is kept for the next call.
  void Advance(absl::Duration duration, std::span<const double> torques_nm) override;
  double position_rad(int joint) const override { return data_->qpos[position_addresses_[joint]]; }
  double velocity_rad_s(int joint) const override { return data_->qvel[velocity_addresses_[joint]]; }

  // Mechanical stops, which a model for learning may lack: stiff springs with dampers beyond the range.
  void SetStops(int joint, double minimum_rad, double maximum_rad);

  // Puts joints there, at rest. positions_rad [J].
  void Place(std::span<const double> positions_rad);

  const mjModel& model() const { return *model_; }
  mjData& data() { return *data_; }
  const mjData& data() const { return *data_; }

 private:
  struct Stops {
    double minimum_rad = -std::numeric_limits<double>::infinity();
    double maximum_rad = std::numeric_limits<double>::infinity();
  };

  explicit MujocoPlant(const mjModel& model);
  double StopTorque(int joint) const;

  const MjModelHandle model_;
  const MjDataHandle data_;
  std::vector<int> position_addresses_;
  std::vector<int> velocity_addresses_;
  std::vector<Stops> stops_;
  absl::Duration owed_;
};

}  // namespace demorl
