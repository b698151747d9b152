#include "services/robot_emulator/core/emulated_robot.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/env/tasks/leg/leg_model.h"
#include "common/robot/drivers/moteus/moteus_emulator.h"
#include "services/robot_emulator/core/mujoco_plant.h"

namespace demorl {
namespace {

absl::StatusOr<EmulatedRobot> MakeLeg() {
  // Finer than the learning task's steps, so that what sensors tell moves between two ticks.
  LegParameters parameters;
  parameters.control_period = absl::Microseconds(500);
  ASSIGN_OR_RETURN(MjModelHandle model, MakeLegModel(parameters));
  ASSIGN_OR_RETURN(std::unique_ptr<MujocoPlant> plant,
                   MujocoPlant::Create(std::move(model), {"hip", "knee"}));
  plant->SetStops(0, -2.0, 2.0);
  plant->SetStops(1, -2.9, 0.1);
  EmulatedRobot robot{.plant = std::move(plant), .port_names = {"bus0"}, .step = parameters.control_period};
  robot.devices.push_back(std::make_unique<MoteusEmulator>(
      MoteusEmulatorOptions{.controllers = {{.id = 1, .joint = 0}, {.id = 2, .joint = 1}}}));
  return robot;
}

}  // namespace

absl::StatusOr<EmulatedRobot> MakeEmulatedRobot(absl::string_view name) {
  if (name == "leg") {
    return MakeLeg();
  }
  return absl::NotFoundError(absl::StrCat("no emulated robot '", name, "'; known is leg"));
}

}  // namespace demorl
