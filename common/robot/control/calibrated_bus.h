#pragma once

#include <memory>
#include <vector>

#include "common/robot/drivers/actuator_bus.h"

namespace demorl {

// How an actuator is mounted: joint position = direction x actuator position / gear_ratio - offset.
struct JointCalibration {
  // 1 or -1.
  int direction = 1;
  // Turns of the actuator's output for one turn of the joint, > 0.
  double gear_ratio = 1;
  double offset_rad = 0;
};

// A bus as the robot's joints see it: signs, gear ratios and zeros applied to everything that passes, limits
// included.
class CalibratedBus final : public ActuatorBus {
 public:
  // INVALID_ARGUMENT for another number of joints than the bus has, or a calibration out of range.
  static absl::StatusOr<std::unique_ptr<CalibratedBus>> Create(std::unique_ptr<ActuatorBus> bus,
                                                               std::vector<JointCalibration> calibration);

  int num_joints() const override { return bus_->num_joints(); }
  absl::StatusOr<std::vector<ActuatorInfo>> Identify() override;
  absl::Status Configure(absl::Duration watchdog_timeout) override {
    return bus_->Configure(watchdog_timeout);
  }
  absl::Status ClearFaults() override { return bus_->ClearFaults(); }
  BusResult Read(absl::Duration deadline, std::span<JointMeasurement> measurements) override;
  BusResult Write(std::span<const JointCommand> commands) override;
  BusCounters counters() const override { return bus_->counters(); }
  std::string DescribeFault(uint32_t fault) const override { return bus_->DescribeFault(fault); }

 private:
  CalibratedBus(std::unique_ptr<ActuatorBus> bus, std::vector<JointCalibration> calibration);

  const std::unique_ptr<ActuatorBus> bus_;
  const std::vector<JointCalibration> calibration_;
  // Of the actuators; kept between reads, since those that have not answered keep their old values.
  std::vector<JointMeasurement> measurements_;
  std::vector<JointCommand> commands_;
};

}  // namespace demorl
