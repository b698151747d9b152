#include "services/cli/robot/demo_operator.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/base/status_macros.h"
#include "services/cli/robot/robot_text.h"

namespace demorl {
namespace {

namespace pb = ::demorl::gateway::v1;

constexpr absl::Duration kLookInterval = absl::Milliseconds(100);
constexpr absl::Duration kLease = absl::Seconds(10);
constexpr char kHolder[] = "robot-demo";

// What learning runs into, as opposed to what is wrong with the machine.
bool IsLimit(const std::string& reason) { return reason == "limit_exceeded" || reason == "tracking_error"; }

}  // namespace

absl::Status DemoOperator::WaitFor(const std::string& what, absl::Duration patience,
                                   const std::function<bool(const State&)>& seen) {
  const absl::Time deadline = absl::Now() + patience;
  std::string last = "no answer from the gateway";
  do {
    const absl::StatusOr<State> state = client_.GetState();
    if (state.ok() && seen(*state)) {
      return absl::OkStatus();
    }
    last = state.ok() ? StateLine(*state) : std::string(state.status().message());
    if (stop_.WaitFor(kLookInterval)) {
      return absl::CancelledError("stopped");
    }
  } while (absl::Now() < deadline);
  return absl::InternalError(
      absl::StrCat("waited ", absl::FormatDuration(patience), " for ", what, "; seen last: ", last));
}

absl::Status DemoOperator::WaitUntilThere(absl::Duration patience) {
  return WaitFor("the gateway", patience,
                 [](const State& state) { return state.state() != pb::ROBOT_STATE_UNSPECIFIED; });
}

absl::Status DemoOperator::Expect(pb::RobotState state, const std::string& reason, absl::Duration patience) {
  return WaitFor(absl::StrCat(StateName(state), reason.empty() ? "" : ": ", reason), patience,
                 [&](const State& seen) {
                   return seen.state() == state && (reason.empty() || seen.reason() == reason);
                 });
}

absl::Status DemoOperator::Arm() {
  ASSIGN_OR_RETURN(const pb::ArmResponse grant, client_.Arm(kHolder, kLease, pb::ARM_MODE_LEARN));
  lease_id_ = grant.lease_id();
  return WaitFor("armed", absl::Seconds(20), [&](const State& state) {
    return client_.RenewLease(lease_id_).ok() && state.state() == pb::ROBOT_STATE_ARMED;
  });
}

absl::Status DemoOperator::ExpectArmRefused() {
  const absl::StatusOr<pb::ArmResponse> grant = client_.Arm(kHolder, kLease, pb::ARM_MODE_LEARN);
  if (absl::IsFailedPrecondition(grant.status())) {
    return absl::OkStatus();
  }
  return absl::InternalError(absl::StrCat("arming a robot in fault: want FAILED_PRECONDITION, got ",
                                          grant.ok() ? "a lease" : grant.status().ToString()));
}

absl::Status DemoOperator::ClearFault(absl::Duration patience) {
  const absl::Time deadline = absl::Now() + patience;
  absl::Status cleared;
  do {
    cleared = client_.ClearFault();
    if (cleared.ok() && Expect(pb::ROBOT_STATE_DISARMED, "", absl::Seconds(2)).ok()) {
      return absl::OkStatus();
    }
    if (stop_.WaitFor(kLookInterval)) {
      return absl::CancelledError("stopped");
    }
  } while (absl::Now() < deadline);
  return absl::InternalError(absl::StrCat("the fault is not cleared: ", cleared.message()));
}

absl::Status DemoOperator::RecoverFromLimit(const State& state) {
  if (!IsLimit(state.reason())) {
    return absl::InternalError(absl::StrCat("the robot stopped: ", StateLine(state)));
  }
  ++num_cleared_limits_;
  RETURN_IF_ERROR(ClearFault(absl::Seconds(20)));
  RETURN_IF_ERROR(Place());
  return Arm();
}

absl::Status DemoOperator::Place() {
  if (place_ == nullptr) {
    return absl::OkStatus();
  }
  ++num_placed_;
  return place_();
}

absl::Status DemoOperator::KeepArmed(absl::Duration duration) {
  uint64_t num_rows = 0;
  absl::Time last_row = absl::Now();
  for (const absl::Time end = absl::Now() + duration; absl::Now() < end;) {
    if (stop_.WaitFor(kLookInterval)) {
      return absl::CancelledError("stopped");
    }
    const absl::Status renewed = client_.RenewLease(lease_id_).status();
    ASSIGN_OR_RETURN(const State state, client_.GetState());
    if (state.state() == pb::ROBOT_STATE_FAULT) {
      RETURN_IF_ERROR(RecoverFromLimit(state));
    } else if (!renewed.ok()) {
      return renewed;
    } else if (state.state() != pb::ROBOT_STATE_ARMED) {
      return absl::InternalError(absl::StrCat("the robot is not armed any more: ", StateLine(state)));
    }
    if (state.rows_recorded() != num_rows) {
      num_rows = state.rows_recorded();
      last_row = absl::Now();
    } else if (absl::Now() - last_row > kLongestReset) {
      RETURN_IF_ERROR(Place());
      last_row = absl::Now();
    }
  }
  return absl::OkStatus();
}

absl::Status DemoOperator::WaitUntilDurable(absl::Duration patience) {
  return WaitFor("all rows to be durable", patience, [](const State& state) {
    return state.rows_recorded() > 0 && state.rows_durable() >= state.rows_recorded() &&
           state.spool_bytes() == 0;
  });
}

}  // namespace demorl
