#include "services/robot_emulator/core/emulated_robot.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/env/tasks/leg/leg_model.h"
#include "common/robot/drivers/moteus/moteus_emulator.h"
#include "services/robot_emulator/core/mujoco_plant.h"
#include "services/robot_emulator/core/stochlite_robot.h"

namespace demorl {
namespace {

absl::StatusOr<EmulatedRobot> MakeLeg() {
  // Finer than the learning task's steps, so that what sensors tell moves between two ticks.
  LegParameters parameters;
  parameters.control_period = absl::Microseconds(500);
  ASSIGN_OR_RETURN(const MjModelHandle model, MakeLegModel(parameters));
  ASSIGN_OR_RETURN(std::unique_ptr<MujocoPlant> plant, MujocoPlant::Create(*model, {"hip", "knee"}));
  plant->SetStops(0, -2.0, 2.0);
  plant->SetStops(1, -2.9, 0.1);
  EmulatedRobot robot{.plant = std::move(plant), .port_names = {"bus0"}, .step = parameters.control_period};
  robot.devices.push_back(std::make_unique<MoteusEmulator>(
      MoteusEmulatorOptions{.controllers = {{.id = 1, .joint = 0}, {.id = 2, .joint = 1}}}));
  return robot;
}

}  // namespace

absl::StatusOr<EmulatedRobot> MakeEmulatedRobot(absl::string_view name, const EmulatedRobotOptions& options) {
  if (name == "stochlite") {
    return MakeEmulatedStochLite(options);
  }
  if (name != "leg") {
    return absl::NotFoundError(absl::StrCat("no emulated robot '", name, "'; known are leg and stochlite"));
  }
  if (options.slope_deg != 0) {
    return absl::InvalidArgumentError("the leg stands on no ground: want no slope");
  }
  return MakeLeg();
}

}  // namespace demorl
