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
#include "common/env/tasks/stochlite/stochlite_variants.h"
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
// Of a torso on its side, with the legs of that side spread.
constexpr double kLyingHeightM = 0.2;

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

// Puts the torso this high over the slope's beginning, along the slope but for `roll_rad`; all is at rest.
void PutTorso(MujocoPlant* plant, double slope_rad, double height_m, double roll_rad) {
  mjData& data = plant->data();
  const int joint = mj_name2id(&plant->model(), mjOBJ_JOINT, kTorso);
  double* pose = data.qpos + plant->model().jnt_qposadr[joint];
  pose[0] = -height_m * std::sin(slope_rad);
  pose[1] = 0;
  pose[2] = height_m * std::cos(slope_rad);
  const double pitch[4] = {std::cos(slope_rad / 2), 0, -std::sin(slope_rad / 2), 0};
  const double roll[4] = {std::cos(roll_rad / 2), std::sin(roll_rad / 2), 0, 0};
  mju_mulQuat(pose + 3, pitch, roll);
  mju_zero(data.qvel, plant->model().nv);
  mj_forward(&plant->model(), &data);
}

// As an episode of the twin begins.
void PlaceOnFeet(MujocoPlant* plant, double slope_rad) {
  plant->Place(stochlite::SolveLegs(TrotGenerator(stochlite::kControlPeriod_s).feet_m()));
  PutTorso(plant, slope_rad, kHipDropM - TrotGenerator::kStanceHeight_m, 0);
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
  robot.topple = [plant = plant.get(), slope_rad] {
    PutTorso(plant, slope_rad, kLyingHeightM, std::numbers::pi / 2);
  };
  robot.place();
  robot.plant = std::move(plant);
  return robot;
}

}  // namespace demorl
