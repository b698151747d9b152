#include "services/cli/robot/robot_text.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"

namespace demorl {
namespace {

namespace pb = ::demorl::gateway::v1;

double ToMilliseconds(const google::protobuf::Duration& duration) {
  return 1e3 * static_cast<double>(duration.seconds()) + 1e-6 * duration.nanos();
}

// "-" for what a device does not tell.
std::string Tenths(double value) { return std::isfinite(value) ? absl::StrFormat("%.1f", value) : "-"; }

std::string Clamps(const pb::WatchStateResponse& state) {
  const std::map<std::string, uint64_t> sorted(state.clamps().begin(), state.clamps().end());
  std::string text;
  for (const auto& [reason, count] : sorted) {
    if (count > 0) {
      absl::StrAppend(&text, text.empty() ? "" : ", ", reason, " ", count);
    }
  }
  return text.empty() ? "none" : text;
}

}  // namespace

std::string StateName(pb::RobotState state) {
  const std::string& name = pb::RobotState_Name(state);
  return absl::AsciiStrToLower(absl::StripPrefix(name, "ROBOT_STATE_"));
}

std::string StateLine(const pb::WatchStateResponse& state) {
  std::string line = absl::StrCat(state.robot(), ": ", StateName(state.state()));
  if (!state.reason().empty()) {
    absl::StrAppend(&line, state.state() == pb::ROBOT_STATE_DISARMED ? ", not ready: " : ": ",
                    state.reason());
  }
  if (!state.holder().empty()) {
    absl::StrAppend(&line, ", held by ", state.holder());
  }
  absl::StrAppendFormat(
      &line, "; policy %d, %d episodes, last return %.4g, %d rows (%d durable), %d of %d ticks missed",
      state.policy_version(), state.episodes(), state.last_return(), state.rows_recorded(),
      state.rows_durable(), state.num_missed_ticks(), state.num_ticks() + state.num_missed_ticks());
  return line;
}

std::string StateTable(const pb::WatchStateResponse& state) {
  std::string table = absl::StrCat(StateLine(state), "\n");
  absl::StrAppendFormat(&table, "worst wake-up %.3f ms, worst tick %.3f ms, spool %d bytes, clamps: %s\n",
                        ToMilliseconds(state.worst_wake_up()), ToMilliseconds(state.worst_compute()),
                        state.spool_bytes(), Clamps(state));
  for (const std::string& line : state.degraded()) {
    absl::StrAppend(&table, "degraded: ", line, "\n");
  }
  absl::StrAppendFormat(&table, "%-14s %10s %10s %10s %8s %8s %9s  %s\n", "JOINT", "RAD", "RAD/S", "N M", "C",
                        "V", "AGE MS", "FAULT");
  for (const pb::JointState& joint : state.joints()) {
    absl::StrAppendFormat(&table, "%-14s %10.4f %10.4f %10.4f %8s %8s %9.2f  %s\n", joint.name(),
                          joint.position_rad(), joint.velocity_rad_s(), joint.torque_nm(),
                          Tenths(joint.temperature_c()), Tenths(joint.voltage_v()),
                          ToMilliseconds(joint.age()), joint.fault());
  }
  return table;
}

}  // namespace demorl
