#include "common/robot/control/reopening_bus.h"

#include <utility>

#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"

namespace demorl {
namespace {

// In place of a bus whose port is closed and not open again yet.
class GoneBus final : public ActuatorBus {
 public:
  explicit GoneBus(int num_joints) : num_joints_(num_joints) {}

  int num_joints() const override { return num_joints_; }
  absl::StatusOr<std::vector<ActuatorInfo>> Identify() override { return Gone(); }
  absl::Status Configure(absl::Duration) override { return Gone(); }
  absl::Status ClearFaults() override { return Gone(); }
  BusResult Read(absl::Duration, std::span<JointMeasurement> measurements) override {
    for (JointMeasurement& measurement : measurements) {
      measurement.fresh = false;
    }
    return {.code = BusResult::Code::kClosed};
  }
  BusResult Write(std::span<const JointCommand>) override { return {.code = BusResult::Code::kClosed}; }
  BusCounters counters() const override { return {}; }
  std::string DescribeFault(uint32_t fault) const override { return absl::StrCat("fault ", fault); }

 private:
  static absl::Status Gone() { return absl::UnavailableError("the bus is gone"); }

  const int num_joints_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<ReopeningBus>> ReopeningBus::Open(Opener opener) {
  ASSIGN_OR_RETURN(std::unique_ptr<ActuatorBus> bus, opener());
  return absl::WrapUnique(new ReopeningBus(std::move(opener), std::move(bus)));
}

ReopeningBus::ReopeningBus(Opener opener, std::unique_ptr<ActuatorBus> bus)
    : opener_(std::move(opener)), bus_(std::move(bus)) {}

absl::StatusOr<std::vector<ActuatorInfo>> ReopeningBus::Identify() {
  ASSIGN_OR_RETURN(identified_, bus_->Identify());
  return identified_;
}

absl::Status ReopeningBus::Configure(absl::Duration watchdog_timeout) {
  watchdog_timeout_ = watchdog_timeout;
  return bus_->Configure(watchdog_timeout);
}

absl::Status ReopeningBus::ClearFaults() {
  if (is_gone_) {
    RETURN_IF_ERROR(Reopen());
  }
  return bus_->ClearFaults();
}

// The old port is closed first: it is held by one.
absl::Status ReopeningBus::Reopen() {
  const int num_joints = bus_->num_joints();
  std::unique_ptr<ActuatorBus> gone = std::exchange(bus_, std::make_unique<GoneBus>(num_joints));
  gone.reset();
  ASSIGN_OR_RETURN(std::unique_ptr<ActuatorBus> bus, opener_());
  ASSIGN_OR_RETURN(const std::vector<ActuatorInfo> found, bus->Identify());
  for (size_t i = 0; i < identified_.size(); ++i) {
    if (found[i].model != identified_[i].model || found[i].firmware != identified_[i].firmware) {
      return absl::FailedPreconditionError(
          absl::StrCat("actuator ", found[i].id, " is ", found[i].model, " with firmware ", found[i].firmware,
                       " since the bus came back; it was ", identified_[i].model, " with ",
                       identified_[i].firmware, ". Start the gateway anew"));
    }
  }
  RETURN_IF_ERROR(bus->Configure(watchdog_timeout_));
  bus_ = std::move(bus);
  is_gone_ = false;
  return absl::OkStatus();
}

BusResult ReopeningBus::Watch(BusResult result) {
  is_gone_ = is_gone_ || (result.code != BusResult::Code::kOk && result.code != BusResult::Code::kIncomplete);
  return result;
}

BusResult ReopeningBus::Read(absl::Duration deadline, std::span<JointMeasurement> measurements) {
  return Watch(bus_->Read(deadline, measurements));
}

BusResult ReopeningBus::Write(std::span<const JointCommand> commands) { return Watch(bus_->Write(commands)); }

}  // namespace demorl
