#include "services/robot_gateway/core/operator_desk.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "common/base/status_macros.h"

namespace demorl {
namespace {

// Of what goes on only as long as a switch is held.
constexpr absl::Duration kMaxHeld = absl::Milliseconds(500);
// How long the loop may take to show that it has obeyed.
constexpr absl::Duration kClearTime = absl::Seconds(1);
// The first ticks after devices came back may still miss one of them: it is told again.
constexpr absl::Duration kClearAgain = absl::Milliseconds(50);

bool MayBeHeld(absl::Duration duration) { return duration > absl::ZeroDuration() && duration <= kMaxHeld; }

bool IsNormalised(float value) { return value >= -1 && value <= 1; }

bool MotorsAct(RobotState state) { return state == RobotState::kArming || state == RobotState::kArmed; }

}  // namespace

OperatorDesk::OperatorDesk(const Options& options, const Clock* clock, OperatorPanel* panel,
                           const StateBoard* board)
    : options_(options),
      clock_(*clock),
      panel_(*panel),
      board_(*board),
      lease_(clock, options.first_lease_id) {}

absl::Status OperatorDesk::CheckMayArm(ArmMode mode) const {
  if (closed_) {
    return absl::UnavailableError("the gateway ends");
  }
  const StateBoard::Summary summary = board_.Get();
  if (!summary.ticking) {
    return absl::FailedPreconditionError("the control loop has not started yet");
  }
  const TickRecord& last = summary.last;
  if (last.state == RobotState::kFault) {
    return absl::FailedPreconditionError(absl::StrCat("a fault is latched (", Name(last.reason),
                                                      "); clear it on the gateway's machine first"));
  }
  if (MotorsAct(last.state) && last.mode != mode) {
    return absl::FailedPreconditionError("the robot is armed in another mode; disarm it first");
  }
  // Whether a policy is missing depends on the mode, and the loop says so once it is asked.
  if (last.state == RobotState::kDisarmed && IsLatched(last.finding)) {
    return absl::FailedPreconditionError(absl::StrCat("a check forbids arming: ", Name(last.finding)));
  }
  return absl::OkStatus();
}

absl::StatusOr<OperatorDesk::Grant> OperatorDesk::Arm(const std::string& holder, absl::Duration duration,
                                                      ArmMode mode) {
  absl::MutexLock lock(&mutex_);
  RETURN_IF_ERROR(CheckMayArm(mode));
  const absl::Duration allowed = std::min(duration, options_.max_lease);
  ASSIGN_OR_RETURN(const Lease::Grant grant, lease_.Acquire(holder, allowed));
  lease_id_ = grant.lease_id;
  lease_duration_ = allowed;
  panel_.StopJog();
  panel_.StopIntervention();
  panel_.SetLeaseExpiry(grant.expiry);
  panel_.RequestArm(mode);
  return Grant{grant.lease_id, allowed};
}

absl::StatusOr<OperatorDesk::Grant> OperatorDesk::Renew(uint64_t lease_id) {
  absl::MutexLock lock(&mutex_);
  ASSIGN_OR_RETURN(const Lease::Grant grant, lease_.Renew(lease_id, lease_duration_));
  panel_.SetLeaseExpiry(grant.expiry);
  return Grant{grant.lease_id, lease_duration_};
}

// Whoever wants the robot to move again must arm it anew.
void OperatorDesk::EndLease() {
  lease_.Release(lease_id_).IgnoreError();
  panel_.SetLeaseExpiry(absl::ZeroDuration());
  panel_.StopJog();
  panel_.StopIntervention();
}

void OperatorDesk::Disarm() {
  absl::MutexLock lock(&mutex_);
  panel_.RequestDisarm();
  EndLease();
}

void OperatorDesk::Close() {
  {
    absl::MutexLock lock(&mutex_);
    closed_ = true;
  }
  Disarm();
}

bool OperatorDesk::MotorsAreOff() const {
  const StateBoard::Summary summary = board_.Get();
  return std::all_of(summary.last.commanded.begin(), summary.last.commanded.begin() + options_.num_joints,
                     [](const JointCommand& command) { return command.mode == ActuatorMode::kFree; });
}

absl::Status OperatorDesk::CheckMayClear() const {
  if (closed_) {
    return absl::UnavailableError("the gateway ends");
  }
  const TickRecord last = board_.Get().last;
  // A device that was lost while the robot was disarmed is no fault of the robot, but must be found again.
  const bool lacks_devices = last.state == RobotState::kDisarmed && IsLatched(last.finding);
  if (last.state != RobotState::kFault && !lacks_devices) {
    return absl::FailedPreconditionError(
        absl::StrCat("no fault is latched; the robot is ", Name(last.state)));
  }
  return MotorsAreOff() ? absl::OkStatus()
                        : absl::FailedPreconditionError("the safe action is not over yet; try again");
}

absl::Status OperatorDesk::ClearFault(const std::function<absl::Status()>& recover_devices) {
  const uint32_t num_emergency_stops = panel_.num_emergency_stops();
  {
    absl::MutexLock lock(&mutex_);
    RETURN_IF_ERROR(CheckMayClear());
  }
  RETURN_IF_ERROR(recover_devices());
  {
    absl::MutexLock lock(&mutex_);
    RETURN_IF_ERROR(CheckMayClear());
    EndLease();
  }
  for (const absl::Time give_up = absl::Now() + kClearTime; absl::Now() < give_up;) {
    {
      absl::MutexLock lock(&mutex_);
      panel_.ClearFault(num_emergency_stops);
    }
    if (board_.AwaitLeft(RobotState::kFault, absl::Now() + kClearAgain)) {
      return absl::OkStatus();
    }
  }
  const TickRecord last = board_.Get().last;
  return absl::FailedPreconditionError(
      absl::StrCat("the fault stays: ",
                   panel_.emergency_stop() ? "the emergency stop was pressed again" : Name(last.finding)));
}

absl::Status OperatorDesk::CheckHolds(uint64_t lease_id) const {
  if (lease_id == 0 || lease_id != lease_id_ || lease_.holder().empty()) {
    return absl::FailedPreconditionError(absl::StrCat("lease ", lease_id, " is over; arm again"));
  }
  return absl::OkStatus();
}

absl::Status OperatorDesk::Jog(uint64_t lease_id, int joint, double velocity_rad_s, absl::Duration duration) {
  if (joint < 0 || joint >= options_.num_joints || !std::isfinite(velocity_rad_s) || !MayBeHeld(duration)) {
    return absl::InvalidArgumentError(
        absl::StrCat("jog of joint ", joint, " at ", velocity_rad_s, " rad/s for ",
                     absl::FormatDuration(duration), "; want a joint from 0 to ", options_.num_joints - 1,
                     ", a finite speed, at most ", absl::FormatDuration(kMaxHeld)));
  }
  absl::MutexLock lock(&mutex_);
  RETURN_IF_ERROR(CheckHolds(lease_id));
  if (board_.Get().last.state != RobotState::kArmed || board_.Get().last.mode != ArmMode::kJog) {
    return absl::FailedPreconditionError("the robot is not armed to jog");
  }
  panel_.Jog(joint, velocity_rad_s, clock_.Now() + duration);
  return absl::OkStatus();
}

absl::Status OperatorDesk::Intervene(uint64_t lease_id, std::span<const float> action,
                                     absl::Duration duration) {
  const bool ends = action.empty();
  if (!ends && (action.size() != options_.action_size || !MayBeHeld(duration) ||
                !std::all_of(action.begin(), action.end(), IsNormalised))) {
    return absl::InvalidArgumentError(
        absl::StrCat("intervention by an action of ", action.size(), " values, (",
                     absl::StrJoin(action, ", "), ") for ", absl::FormatDuration(duration), "; want ",
                     options_.action_size, " values in [-1, 1], at most ", absl::FormatDuration(kMaxHeld)));
  }
  absl::MutexLock lock(&mutex_);
  RETURN_IF_ERROR(CheckHolds(lease_id));
  if (ends) {
    panel_.StopIntervention();
    return absl::OkStatus();
  }
  if (board_.Get().last.state != RobotState::kArmed || board_.Get().last.mode == ArmMode::kJog) {
    return absl::FailedPreconditionError("the robot is not armed for episodes");
  }
  Intervention intervention{.expiry = clock_.Now() + duration};
  std::copy(action.begin(), action.end(), intervention.action.begin());
  panel_.Intervene(intervention);
  return absl::OkStatus();
}

}  // namespace demorl
