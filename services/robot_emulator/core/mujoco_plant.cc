#include "services/robot_emulator/core/mujoco_plant.h"

#include <algorithm>
#include <utility>

#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"
#include "common/base/check.h"

namespace demorl {
namespace {

// Stiff enough to give a few degrees at the speeds of these robots, soft enough for steps of half a
// millisecond.
constexpr double kStopStiffnessNmRad = 200;
constexpr double kStopDampingNmSRad = 1;

MjModelHandle WithoutActuators(const mjModel& model) {
  std::shared_ptr<mjModel> copy(mj_copyModel(nullptr, &model), mj_deleteModel);
  DEMORL_CHECK(copy != nullptr);
  copy->opt.disableflags |= mjDSBL_ACTUATION;
  return copy;
}

}  // namespace

MujocoPlant::MujocoPlant(const mjModel& model)
    : model_(WithoutActuators(model)), data_(mj_makeData(model_.get())) {
  DEMORL_CHECK(data_ != nullptr);
  mj_forward(model_.get(), data_.get());
}

absl::StatusOr<std::unique_ptr<MujocoPlant>> MujocoPlant::Create(
    const mjModel& model, const std::vector<std::string>& joint_names) {
  auto plant = absl::WrapUnique(new MujocoPlant(model));
  for (const std::string& name : joint_names) {
    const int joint = mj_name2id(plant->model_.get(), mjOBJ_JOINT, name.c_str());
    if (joint < 0) {
      return absl::NotFoundError(absl::StrCat("the model has no joint '", name, "'"));
    }
    if (plant->model_->jnt_type[joint] != mjJNT_HINGE) {
      return absl::InvalidArgumentError(absl::StrCat("joint '", name, "' is no hinge"));
    }
    plant->position_addresses_.push_back(plant->model_->jnt_qposadr[joint]);
    plant->velocity_addresses_.push_back(plant->model_->jnt_dofadr[joint]);
  }
  plant->stops_.resize(joint_names.size());
  return plant;
}

void MujocoPlant::SetStops(int joint, double minimum_rad, double maximum_rad) {
  stops_[joint] = {minimum_rad, maximum_rad};
}

double MujocoPlant::StopTorque(int joint) const {
  const double position = position_rad(joint);
  const double excess = position - std::clamp(position, stops_[joint].minimum_rad, stops_[joint].maximum_rad);
  return excess == 0 ? 0 : -kStopStiffnessNmRad * excess - kStopDampingNmSRad * velocity_rad_s(joint);
}

void MujocoPlant::Advance(absl::Duration duration, std::span<const double> torques_nm) {
  const absl::Duration step = absl::Seconds(model_->opt.timestep);
  for (owed_ += duration; owed_ >= step; owed_ -= step) {
    for (size_t i = 0; i < torques_nm.size(); ++i) {
      data_->qfrc_applied[velocity_addresses_[i]] = torques_nm[i] + StopTorque(static_cast<int>(i));
    }
    mj_step(model_.get(), data_.get());
  }
}

void MujocoPlant::Place(std::span<const double> positions_rad) {
  for (size_t i = 0; i < positions_rad.size(); ++i) {
    data_->qpos[position_addresses_[i]] = positions_rad[i];
    data_->qvel[velocity_addresses_[i]] = 0;
  }
  mj_forward(model_.get(), data_.get());
}

}  // namespace demorl
