#include "services/robot_gateway/control_host.h"

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/base/status_macros.h"
#include "spdlog/spdlog.h"

namespace demorl {
namespace {

// So that no driver finds its wires still full.
constexpr absl::Duration kWritePeriod = absl::Milliseconds(5);

}  // namespace

absl::Status ControlHost::Start() {
  absl::MutexLock lock(&mutex_);
  RETURN_IF_ERROR(StartLoop());
  for (const std::string& line : loop_->report().degraded) {
    spdlog::warn("degraded: {}", line);
  }
  return absl::OkStatus();
}

void ControlHost::Stop() {
  absl::MutexLock lock(&mutex_);
  stopped_ = true;
  StopLoop();
}

absl::Status ControlHost::StartLoop() {
  ControlLoop::Options options = options_;
  options.first_index = past_.num_ticks + past_.num_missed;
  ASSIGN_OR_RETURN(loop_, ControlLoop::Start(options, &body_));
  return absl::OkStatus();
}

void ControlHost::StopLoop() {
  if (loop_ == nullptr) {
    return;
  }
  loop_->Stop();
  past_.num_ticks += loop_->num_ticks();
  past_.num_missed += loop_->num_missed();
  loop_.reset();
  // Nobody is there any more to end what was commanded last.
  const std::vector<JointCommand> off(bus_.num_joints());
  for (int i = 0; i < ActuatorBus::kSureWrites; ++i) {
    bus_.Write(off);
    absl::SleepFor(kWritePeriod);
  }
}

absl::Status ControlHost::RecoverDevices() {
  {
    absl::MutexLock lock(&mutex_);
    if (stopped_) {
      return absl::UnavailableError("the gateway ends");
    }
    StopLoop();
  }
  absl::Status recovered;
  {
    absl::MutexLock lock(&recovery_mutex_);
    recovered = bus_.ClearFaults();
    if (imu_ != nullptr) {
      recovered.Update(imu_->Start());
    }
  }
  absl::MutexLock lock(&mutex_);
  if (!stopped_) {
    RETURN_IF_ERROR(StartLoop());
  }
  return recovered;
}

std::string ControlHost::DescribeFault(uint32_t fault) const {
  if (!recovery_mutex_.TryLock()) {
    return absl::StrCat("fault ", fault);
  }
  const std::string description = bus_.DescribeFault(fault);
  recovery_mutex_.Unlock();
  return description;
}

void ControlHost::TakeTimings(absl::FunctionRef<void(const TickTiming&)> visit) {
  absl::MutexLock lock(&mutex_);
  if (loop_ != nullptr) {
    loop_->TakeTimings(visit);
  }
}

ControlHost::Timings ControlHost::timings() const {
  absl::MutexLock lock(&mutex_);
  Timings timings = past_;
  if (loop_ != nullptr) {
    timings.num_ticks += loop_->num_ticks();
    timings.num_missed += loop_->num_missed();
  }
  return timings;
}

std::vector<std::string> ControlHost::degraded() const {
  absl::MutexLock lock(&mutex_);
  return loop_ == nullptr ? std::vector<std::string>() : loop_->report().degraded;
}

}  // namespace demorl
