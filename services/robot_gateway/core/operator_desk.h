#pragma once

#include <functional>
#include <span>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/base/clock.h"
#include "common/robot/control/operator_panel.h"
#include "common/robot/safety/lease.h"
#include "services/robot_gateway/core/state_board.h"

namespace demorl {

// Operators' requests on their way to the control loop: who may ask for what, and when. Never waits for the
// loop. Thread-safe.
class OperatorDesk {
 public:
  struct Options {
    int num_joints = 0;
    int action_size = 0;
    absl::Duration max_lease = absl::Seconds(10);
    // Differs between starts of the process.
    uint64_t first_lease_id = 1;
  };
  struct Grant {
    uint64_t lease_id = 0;
    absl::Duration duration;
  };

  // Borrows all.
  OperatorDesk(const Options& options, const Clock* clock, OperatorPanel* panel, const StateBoard* board);

  // FAILED_PRECONDITION: another holder, a latched fault, a check that forbids it, or armed in another mode.
  // INVALID_ARGUMENT: no holder's name, or a duration that is not positive. A longer lease than allowed is
  // shortened.
  absl::StatusOr<Grant> Arm(const std::string& holder, absl::Duration duration, ArmMode mode);

  // FAILED_PRECONDITION if the lease is over.
  absl::StatusOr<Grant> Renew(uint64_t lease_id);

  // From anyone: turning off needs no lease.
  void Disarm();
  // Disarms; nothing is armed or cleared from now on. UNAVAILABLE to those who ask.
  void Close();
  // As of the last tick seen.
  bool MotorsAreOff() const;
  void EmergencyStop() { panel_.EmergencyStop(); }

  // Blocks until the robot has left its fault, about a second at most. `recover_devices` is called first, to
  // clear what devices latch; its error ends the attempt. Also for a disarmed robot whose devices were lost.
  // FAILED_PRECONDITION if no fault is latched, while its safe action lasts, and if the fault stays: its
  // cause is still there, or the emergency stop was pressed meanwhile.
  absl::Status ClearFault(const std::function<absl::Status()>& recover_devices);

  // INVALID_ARGUMENT: no such joint, or a duration over half a second. FAILED_PRECONDITION: see Renew, or not
  // armed to jog.
  absl::Status Jog(uint64_t lease_id, int joint, double velocity_rad_s, absl::Duration duration);

  // Puts `action` in the policy's place for this long; an empty one gives the robot back to its policy.
  // INVALID_ARGUMENT: another size than the action's, a value that is not in [-1, 1], or a duration over half
  // a second. FAILED_PRECONDITION: see Renew, or not armed, or armed to jog.
  absl::Status Intervene(uint64_t lease_id, std::span<const float> action, absl::Duration duration);

  std::string holder() const { return lease_.holder(); }

 private:
  absl::Status CheckMayArm(ArmMode mode) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status CheckMayClear() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status CheckHolds(uint64_t lease_id) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void EndLease() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const Options options_;
  const Clock& clock_;
  OperatorPanel& panel_;
  const StateBoard& board_;
  Lease lease_;
  // Serialises the writers of the panel.
  mutable absl::Mutex mutex_;
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
  uint64_t lease_id_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::Duration lease_duration_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace demorl
