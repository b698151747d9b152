#include "services/cli/robot/robot_check.h"

#include <algorithm>
#include <cmath>
#include <functional>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "common/base/status_macros.h"
#include "services/cli/robot/robot_text.h"

namespace demorl {
namespace {

namespace pb = ::demorl::gateway::v1;

constexpr absl::Duration kWatchTime = absl::Seconds(2);
constexpr absl::Duration kWatchInterval = absl::Milliseconds(50);
constexpr absl::Duration kLease = absl::Seconds(2);

absl::Duration ToDuration(const google::protobuf::Duration& duration) {
  return absl::Seconds(duration.seconds()) + absl::Nanoseconds(duration.nanos());
}

// What was seen in a stretch of watching.
struct Watched {
  pb::WatchStateResponse first, last;
  absl::Duration worst_age;
  std::string oldest_joint;
  absl::Duration elapsed;
};

// `keep_alive` is called with each state.
absl::StatusOr<Watched> Watch(RobotGatewayClient& client, const StopToken& stop,
                              const std::function<absl::Status()>& keep_alive) {
  Watched watched;
  const absl::Time start = absl::Now();
  absl::Status kept;
  RETURN_IF_ERROR(client.WatchState(kWatchInterval, [&](const pb::WatchStateResponse& state) {
    if (watched.first.robot().empty()) {
      watched.first = state;
    }
    watched.last = state;
    for (const pb::JointState& joint : state.joints()) {
      if (ToDuration(joint.age()) > watched.worst_age) {
        watched.worst_age = ToDuration(joint.age());
        watched.oldest_joint = joint.name();
      }
    }
    kept = stop.stop_requested() ? absl::CancelledError("stopped") : keep_alive();
    return kept.ok() && absl::Now() - start < kWatchTime;
  }));
  RETURN_IF_ERROR(kept);
  watched.elapsed = absl::Now() - start;
  return watched;
}

RobotCheck::Item CheckRate(const Watched& watched) {
  const double ticks = static_cast<double>(watched.last.num_ticks() - watched.first.num_ticks());
  const double rate_hz = ticks / absl::ToDoubleSeconds(watched.elapsed);
  const double wanted_hz = 1 / absl::ToDoubleSeconds(ToDuration(watched.last.control_period()));
  return {.what = "control loop",
          .go = rate_hz > 0.9 * wanted_hz,
          .found = absl::StrFormat("%.0f ticks per second of %.0f", rate_hz, wanted_hz)};
}

RobotCheck::Item CheckMissedTicks(const Watched& watched) {
  const uint64_t missed = watched.last.num_missed_ticks() - watched.first.num_missed_ticks();
  return {.what = "missed ticks",
          .go = missed == 0,
          .only_warns = true,
          .found = absl::StrFormat("%d in %.1f s; worst wake-up %.0f us", missed,
                                   absl::ToDoubleSeconds(watched.elapsed),
                                   absl::ToDoubleMicroseconds(ToDuration(watched.last.worst_wake_up())))};
}

// A late answer now and then may be this machine's doing; half a second of silence is the bus's.
RobotCheck::Item CheckReplies(const Watched& watched) {
  return {.what = "actuators answer",
          .go = watched.worst_age <= 4 * ToDuration(watched.last.control_period()),
          .only_warns = watched.worst_age < absl::Milliseconds(500),
          .found = absl::StrCat("oldest answer ",
                                absl::FormatDuration(absl::Trunc(watched.worst_age, absl::Microseconds(1))),
                                " (", watched.oldest_joint, ")")};
}

RobotCheck::Item CheckFaults(const pb::WatchStateResponse& state) {
  RobotCheck::Item item{.what = "devices", .go = true, .found = "no faults"};
  for (const pb::JointState& joint : state.joints()) {
    if (!joint.fault().empty()) {
      item = {.what = "devices", .go = false, .found = absl::StrCat(joint.name(), ": ", joint.fault())};
    }
  }
  return item;
}

RobotCheck::Item CheckReady(const pb::WatchStateResponse& state) {
  const bool ready = state.state() == pb::ROBOT_STATE_DISARMED && state.reason().empty();
  return {.what = "limits and sensors",
          .go = ready,
          .found = ready ? "nothing forbids arming" : StateLine(state)};
}

RobotCheck::Item CheckRealtime(const pb::WatchStateResponse& state) {
  return {.what = "real-time services",
          .go = state.degraded().empty(),
          .only_warns = true,
          .found = state.degraded().empty() ? "granted" : state.degraded(0)};
}

RobotCheck::Item CheckPolicy(const pb::WatchStateResponse& state) {
  return {.what = "policy",
          .go = state.policy_version() > 0,
          .only_warns = true,
          .found = state.policy_version() > 0 ? absl::StrCat("version ", state.policy_version())
                                              : "none yet: actions would be random"};
}

absl::StatusOr<Watched> RunDry(RobotGatewayClient& client, const std::string& holder, const StopToken& stop) {
  ASSIGN_OR_RETURN(const pb::ArmResponse grant, client.Arm(holder, kLease, pb::ARM_MODE_DRY_RUN));
  RETURN_IF_ERROR(WaitUntilArmed(client, grant.lease_id(), stop));
  return Watch(client, stop, [&] { return client.RenewLease(grant.lease_id()).status(); });
}

// Until it is disarmed, so that whoever arms next finds it so.
void DisarmAndWait(RobotGatewayClient& client) {
  const absl::Time deadline = absl::Now() + kWatchTime;
  client.Disarm().IgnoreError();
  client
      .WatchState(kWatchInterval,
                  [&](const pb::WatchStateResponse& state) {
                    return state.state() != pb::ROBOT_STATE_DISARMED && absl::Now() < deadline;
                  })
      .IgnoreError();
}

RobotCheck::Item CheckDryRun(RobotGatewayClient& client, const std::string& holder, const StopToken& stop) {
  RobotCheck::Item item{.what = "dry run, motors off"};
  const absl::StatusOr<Watched> watched = RunDry(client, holder, stop);
  DisarmAndWait(client);
  if (!watched.ok()) {
    item.found = std::string(watched.status().message());
    return item;
  }
  item.go = watched->last.state() == pb::ROBOT_STATE_ARMED && watched->last.commands_finite();
  item.found =
      absl::StrCat(StateLine(watched->last),
                   watched->last.commands_finite() ? "; commands finite" : "; commands are NOT finite");
  return item;
}

}  // namespace

bool RobotCheck::go() const {
  return std::all_of(items.begin(), items.end(), [](const Item& item) { return item.go || item.only_warns; });
}

absl::Status WaitUntilArmed(RobotGatewayClient& client, uint64_t lease_id, const StopToken& stop) {
  const absl::Time begins_until = absl::Now() + kWatchTime;
  pb::WatchStateResponse last;
  bool has_begun = false;
  absl::Status kept;
  RETURN_IF_ERROR(client.WatchState(kWatchInterval, [&](const pb::WatchStateResponse& seen) {
    last = seen;
    kept = stop.stop_requested() ? absl::CancelledError("stopped") : client.RenewLease(lease_id).status();
    has_begun = has_begun || seen.state() == pb::ROBOT_STATE_ARMING;
    const bool may_come =
        seen.state() == pb::ROBOT_STATE_ARMING || (!has_begun && absl::Now() < begins_until);
    return kept.ok() && may_come && seen.state() != pb::ROBOT_STATE_ARMED;
  }));
  if (last.state() == pb::ROBOT_STATE_ARMED) {
    return absl::OkStatus();
  }
  return absl::IsCancelled(kept)
             ? kept
             : absl::FailedPreconditionError(absl::StrCat("not armed: ", StateLine(last)));
}

absl::StatusOr<RobotCheck> CheckRobot(RobotGatewayClient& client, const std::string& holder,
                                      const StopToken& stop) {
  ASSIGN_OR_RETURN(const Watched watched, Watch(client, stop, [] { return absl::OkStatus(); }));
  RobotCheck check;
  check.items = {CheckRate(watched),       CheckMissedTicks(watched), CheckRealtime(watched.last),
                 CheckReplies(watched),    CheckFaults(watched.last), CheckReady(watched.last),
                 CheckPolicy(watched.last)};
  if (check.go()) {
    check.items.push_back(CheckDryRun(client, holder, stop));
  }
  return stop.stop_requested() ? absl::StatusOr<RobotCheck>(absl::CancelledError("stopped")) : check;
}

std::string CheckTable(const RobotCheck& check) {
  std::string table;
  for (const RobotCheck::Item& item : check.items) {
    absl::StrAppendFormat(&table, "%-6s %-22s %s\n",
                          item.go           ? "ok"
                          : item.only_warns ? "warn"
                                            : "FAIL",
                          item.what, item.found);
  }
  absl::StrAppend(&table, check.go() ? "GO" : "NO GO", "\n");
  return table;
}

}  // namespace demorl
