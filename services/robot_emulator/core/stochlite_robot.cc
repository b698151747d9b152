#include "services/robot_emulator/core/stochlite_robot.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/base/status_macros.h"
#include "common/env/mj_handles.h"
#include "common/env/tasks/stochlite/leg_kinematics.h"
#include "common/env/tasks/stochlite/model_randomiser.h"
#include "common/env/tasks/stochlite/trot_generator.h"
#include "common/robot/drivers/b3m/b3m_emulator.h"
#include "common/robot/drivers/imu/xsens_emulator.h"
#include "services/robot_emulator/core/body_imu.h"
#include "services/robot_emulator/core/mujoco_plant.h"

namespace demorl {
namespace {

using stochlite::kJointsPerLeg;
using stochlite::kNumLegs;
using stochlite::TrotGenerator;

constexpr double kMaxSlopeDeg = 30;
constexpr char kTorso[] = "torso";
// Hips lie this much below the torso's origin.
constexpr double kHipDropM = 0.005;

// Where a leg's links run into each other, a little outside what the gait can ask for; own figures. The model
// itself stops the abduction.
void SetStops(MujocoPlant* plant) {
  for (int leg = 0; leg < kNumLegs; ++leg) {
    plant->SetStops(kJointsPerLeg * leg + 1, -1.3, 2.7);
    plant->SetStops(kJointsPerLeg * leg + 2, -2.9, 0.1);
  }
}

absl::StatusOr<MjModelHandle> MakeModel(double slope_rad) {
  ASSIGN_OR_RETURN(const MjModelHandle shared, LoadMjModel("stochlite.xml"));
  std::shared_ptr<mjModel> model(mj_copyModel(nullptr, shared.get()), mj_deleteModel);
  DEMORL_CHECK(model != nullptr);
  const MjDataHandle data(mj_makeData(model.get()));
  DEMORL_CHECK(data != nullptr);
  // A positive pitch lowers the nose.
  stochlite::ModelRandomiser(model.get()).Apply({.slope = {.pitch_rad = -slope_rad}}, data.get());
  return model;
}

// On its feet along the slope, as an episode of the twin begins.
void PlaceOnFeet(MujocoPlant* plant, double slope_rad) {
  mjData& data = plant->data();
  mj_resetData(&plant->model(), &data);
  const double height = kHipDropM - TrotGenerator::kStanceHeight_m;
  const std::array<double, 7> pose = {
      -height * std::sin(slope_rad), 0, height * std::cos(slope_rad), std::cos(slope_rad / 2), 0,
      -std::sin(slope_rad / 2),      0};
  const int torso = mj_name2id(&plant->model(), mjOBJ_JOINT, kTorso);
  std::ranges::copy(pose, data.qpos + plant->model().jnt_qposadr[torso]);
  plant->Place(stochlite::SolveLegs(TrotGenerator(0.01).feet_m()));
}

// Three servos of a leg on a wire of their own.
std::unique_ptr<DeviceEmulator> MakeLegBus(int leg) {
  B3mEmulatorOptions options;
  for (int i = 0; i < kJointsPerLeg; ++i) {
    const int joint = kJointsPerLeg * leg + i;
    options.servos.push_back({.id = static_cast<uint8_t>(joint + 1), .joint = joint});
  }
  return std::make_unique<B3mEmulator>(options);
}

}  // namespace

absl::StatusOr<EmulatedRobot> MakeEmulatedStochLite(const EmulatedRobotOptions& options) {
  if (!(std::abs(options.slope_deg) <= kMaxSlopeDeg)) {
    return absl::InvalidArgumentError(absl::StrCat("a slope of ", options.slope_deg, " degrees; want -",
                                                   kMaxSlopeDeg, " to ", kMaxSlopeDeg));
  }
  const double slope_rad = options.slope_deg * std::numbers::pi / 180;
  ASSIGN_OR_RETURN(const MjModelHandle model, MakeModel(slope_rad));
  const std::vector<std::string> names(stochlite::kJointNames.begin(), stochlite::kJointNames.end());
  ASSIGN_OR_RETURN(std::unique_ptr<MujocoPlant> plant, MujocoPlant::Create(*model, names));
  SetStops(plant.get());
  EmulatedRobot robot{.step = absl::Seconds(model->opt.timestep)};
  for (int leg = 0; leg < kNumLegs; ++leg) {
    robot.devices.push_back(MakeLegBus(leg));
    robot.port_names.push_back(absl::StrCat("bus", leg));
  }
  ASSIGN_OR_RETURN(BodyImu imu, BodyImu::Create(plant.get(), kTorso));
  robot.devices.push_back(std::make_unique<XsensEmulator>(XsensEmulatorOptions{}, std::move(imu)));
  robot.port_names.push_back("imu");
  robot.place = [plant = plant.get(), slope_rad] { PlaceOnFeet(plant, slope_rad); };
  robot.place();
  robot.plant = std::move(plant);
  return robot;
}

}  // namespace demorl
