#include "services/cli/drive/drive_robot.h"

#include <poll.h>

#include <cstdio>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/base/clock.h"
#include "common/base/status_macros.h"
#include "services/cli/robot/robot_text.h"

namespace demorl {
namespace {

namespace pb = ::demorl::gateway::v1;

constexpr absl::Duration kPeriod = absl::Milliseconds(50);
// What was said last goes on for this long: several messages may be lost, and whoever lets go stops soon.
constexpr absl::Duration kInterventionTime = absl::Milliseconds(250);

void WaitForInput(const OperatorInput& input) {
  pollfd poller{.fd = input.descriptor(), .events = POLLIN};
  poll(&poller, 1, static_cast<int>(absl::ToInt64Milliseconds(kPeriod)));
}

std::string Describe(const pb::WatchStateResponse& robot, const std::vector<double>& values) {
  std::string text;
  for (int i = 0; i < robot.operator_axes_size(); ++i) {
    absl::StrAppendFormat(&text, " %s %+.2f", robot.operator_axes(i).name(), values[i]);
  }
  return text;
}

// Overwrites the line before.
void Show(const std::string& text) {
  std::printf("\r\x1b[K%s", text.c_str());
  std::fflush(stdout);
}

bool Acts(pb::RobotState state) { return state == pb::ROBOT_STATE_ARMING || state == pb::ROBOT_STATE_ARMED; }

}  // namespace

std::vector<float> ActionOfAxes(const pb::WatchStateResponse& robot, const std::vector<double>& values) {
  std::vector<float> action(robot.action_dimensions(), 0.0F);
  for (int i = 0; i < robot.operator_axes_size(); ++i) {
    const uint32_t index = robot.operator_axes(i).action_index();
    if (index < action.size() && i < values.size()) {
      action[index] = static_cast<float>(values[i]);
    }
  }
  return action;
}

absl::Status DriveRobot(HeldRobot& robot, OperatorInput& input, const StopToken& stop) {
  ASSIGN_OR_RETURN(const pb::WatchStateResponse about, robot.client().GetState());
  bool drives = false;
  for (absl::Duration renew_at; !stop.stop_requested() && !input.quits();) {
    WaitForInput(input);
    const absl::Duration now = RealClock::Get().Now();
    RETURN_IF_ERROR(input.Read(now));
    if (now >= renew_at) {
      ASSIGN_OR_RETURN(const pb::RobotState state, robot.Renew());
      if (!Acts(state)) {
        ASSIGN_OR_RETURN(const pb::WatchStateResponse last, robot.client().GetState());
        return absl::AbortedError(absl::StrCat("the robot has stopped by itself; ", StateLine(last)));
      }
      renew_at = now + robot.lease() / 4;
    }
    const bool drove = std::exchange(drives, input.held(now));
    if (drives) {
      const std::vector<double> values = input.axes(now);
      RETURN_IF_ERROR(
          robot.client().Intervene(robot.lease_id(), ActionOfAxes(about, values), kInterventionTime));
      Show(absl::StrCat("operator:", Describe(about, values)));
    } else if (drove) {
      RETURN_IF_ERROR(robot.client().Intervene(robot.lease_id(), {}, absl::ZeroDuration()));
      Show("policy");
    }
  }
  std::printf("\n");
  return absl::OkStatus();
}

}  // namespace demorl
