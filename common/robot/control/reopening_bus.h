#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "common/robot/drivers/actuator_bus.h"

namespace demorl {

// A bus that can be lost and found again: once its device, or what watches it, is gone, ClearFaults opens it
// anew.
class ReopeningBus final : public ActuatorBus {
 public:
  using Opener = std::function<absl::StatusOr<std::unique_ptr<ActuatorBus>>()>;

  // Opens the bus for the first time; the opener's error if that fails.
  static absl::StatusOr<std::unique_ptr<ReopeningBus>> Open(Opener opener);

  int num_joints() const override { return bus_->num_joints(); }
  absl::StatusOr<std::vector<ActuatorInfo>> Identify() override;
  absl::Status Configure(absl::Duration watchdog_timeout) override;
  // Also FAILED_PRECONDITION if other devices answer after a loss than before it.
  absl::Status ClearFaults() override;
  BusResult Read(absl::Duration deadline, std::span<JointMeasurement> measurements) override;
  BusResult Write(std::span<const JointCommand> commands) override;
  // Since the bus was last opened.
  BusCounters counters() const override { return bus_->counters(); }
  std::string DescribeFault(uint32_t fault) const override { return bus_->DescribeFault(fault); }

 private:
  ReopeningBus(Opener opener, std::unique_ptr<ActuatorBus> bus);
  absl::Status Reopen();
  BusResult Watch(BusResult result);

  const Opener opener_;
  std::unique_ptr<ActuatorBus> bus_;
  bool is_gone_ = false;
  std::vector<ActuatorInfo> identified_;
  absl::Duration watchdog_timeout_;
};

}  // namespace demorl
