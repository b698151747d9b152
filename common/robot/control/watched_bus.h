#pragma once

#include <memory>
#include <vector>

#include "common/robot/drivers/actuator_bus.h"
#include "common/robot/safety/bus_watchdog_client.h"

namespace demorl {

// A bus of servos without a watchdog of their own, and the process that frees them when this one dies or
// stands still while its motors are on. Each Write tells that process that all is well.
//
// Once that process is gone no motor is driven any more: kTorque and kPosition become kDamping, and each
// Write answers kUnwatched. Only a new bus is watched again (ReopeningBus makes one on ClearFaults).
class WatchedBus final : public ActuatorBus {
 public:
  WatchedBus(std::unique_ptr<ActuatorBus> bus, std::unique_ptr<BusWatchdogClient> watchdog)
      : bus_(std::move(bus)), watchdog_(std::move(watchdog)), commands_(bus_->num_joints()) {}
  // An orderly end: frees the motors, then dismisses the watchdog.
  ~WatchedBus() override;

  int num_joints() const override { return bus_->num_joints(); }
  // As devices with a watchdog.
  absl::StatusOr<std::vector<ActuatorInfo>> Identify() override;
  // Silence during these does not count: motors are off.
  absl::Status Configure(absl::Duration watchdog_timeout) override;
  absl::Status ClearFaults() override;
  BusResult Read(absl::Duration deadline, std::span<JointMeasurement> measurements) override {
    return bus_->Read(deadline, measurements);
  }
  BusResult Write(std::span<const JointCommand> commands) override;
  BusCounters counters() const override { return bus_->counters(); }
  std::string DescribeFault(uint32_t fault) const override { return bus_->DescribeFault(fault); }

 private:
  BusResult WriteUnwatched(std::span<const JointCommand> commands);

  const std::unique_ptr<ActuatorBus> bus_;
  const std::unique_ptr<BusWatchdogClient> watchdog_;
  // Writes in a row that have freed every motor.
  int num_free_writes_ = kSureWrites;
  std::vector<JointCommand> commands_;
};

}  // namespace demorl
