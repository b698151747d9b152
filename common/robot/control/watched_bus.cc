#include "common/robot/control/watched_bus.h"

#include <algorithm>

#include "common/base/status_macros.h"

namespace demorl {
namespace {

bool IsFree(const JointCommand& command) { return command.mode == ActuatorMode::kFree; }

}  // namespace

WatchedBus::~WatchedBus() {
  std::fill(commands_.begin(), commands_.end(), JointCommand());
  for (int i = 0; i < kSureWrites; ++i) {
    bus_->Write(commands_);
  }
  // What it has done by itself it has said by itself.
  watchdog_->Goodbye().IgnoreError();
}

absl::StatusOr<std::vector<ActuatorInfo>> WatchedBus::Identify() {
  ASSIGN_OR_RETURN(std::vector<ActuatorInfo> devices, bus_->Identify());
  for (ActuatorInfo& device : devices) {
    device.has_watchdog = true;
  }
  return devices;
}

absl::Status WatchedBus::Configure(absl::Duration watchdog_timeout) {
  watchdog_->Rest();
  return bus_->Configure(watchdog_timeout);
}

absl::Status WatchedBus::ClearFaults() {
  watchdog_->Rest();
  return bus_->ClearFaults();
}

BusResult WatchedBus::Write(std::span<const JointCommand> commands) {
  const bool frees = std::all_of(commands.begin(), commands.end(), IsFree);
  num_free_writes_ = frees ? std::min(num_free_writes_ + 1, kSureWrites) : 0;
  // What frees the motors may be lost on its way: they count as off once it was said often enough.
  const bool watched = num_free_writes_ >= kSureWrites ? watchdog_->Rest() : watchdog_->Beat();
  return watched ? bus_->Write(commands) : WriteUnwatched(commands);
}

BusResult WatchedBus::WriteUnwatched(std::span<const JointCommand> commands) {
  for (size_t i = 0; i < commands_.size(); ++i) {
    commands_[i].mode = IsFree(commands[i]) ? ActuatorMode::kFree : ActuatorMode::kDamping;
    commands_[i].damping_nm_s_rad = commands[i].damping_nm_s_rad;
  }
  const BusResult written = bus_->Write(commands_);
  const bool sent = written.ok() || written.code == BusResult::Code::kIncomplete;
  return sent ? BusResult{.code = BusResult::Code::kUnwatched} : written;
}

}  // namespace demorl
