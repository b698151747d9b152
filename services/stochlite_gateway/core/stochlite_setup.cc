#include "services/stochlite_gateway/core/stochlite_setup.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/env/tasks/stochlite/legs.h"

namespace demorl {

absl::Status CheckStochLiteSetup(const demorl::config::v1::RobotSetup& setup) {
  constexpr auto& kNames = stochlite::kJointNames;
  if (setup.joints_size() != stochlite::kNumJoints) {
    return absl::InvalidArgumentError(absl::StrCat("robot.joints has ", setup.joints_size(),
                                                   " entries; StochLite has ", kNames.size(),
                                                   " joints, in this order: ", absl::StrJoin(kNames, ", ")));
  }
  for (int i = 0; i < setup.joints_size(); ++i) {
    if (setup.joints(i).name() != kNames[i]) {
      return absl::InvalidArgumentError(
          absl::StrCat("robot.joints[", i, "] has the name \"", setup.joints(i).name(), "\"; want \"",
                       kNames[i], "\", for joints come in this order: ", absl::StrJoin(kNames, ", ")));
    }
  }
  if (!setup.has_imu()) {
    return absl::InvalidArgumentError(
        "robot.imu is not set; StochLite needs an IMU with its port and protocol to know how it stands");
  }
  return absl::OkStatus();
}

}  // namespace demorl
