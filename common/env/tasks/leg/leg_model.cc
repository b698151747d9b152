#include "common/env/tasks/leg/leg_model.h"

#include <mujoco/mujoco.h>

#include <array>
#include <memory>
#include <numbers>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "common/base/check.h"
#include "common/base/status_macros.h"
#include "common/env/tasks/leg/foot_path.h"

namespace demorl {
namespace {

constexpr const char* kModelFile = "leg2r.xml";
constexpr int kPathSegments = 96;
constexpr double kPathRadius = 0.0025;  // m, as drawn
constexpr std::array<float, 4> kPathColour = {0.95f, 0.62f, 0.12f, 1};
// A rod's inertia about its own axis; it plays no part in the plane, but MuJoCo wants it positive.
constexpr double kAxialInertia = 1e-5;  // kg m^2

struct SpecDeleter {
  void operator()(mjSpec* spec) const { mj_deleteSpec(spec); }
};
using SpecHandle = std::unique_ptr<mjSpec, SpecDeleter>;

absl::StatusOr<SpecHandle> ParseFile() {
  ASSIGN_OR_RETURN(const std::string folder, FindAssetsFolder());
  const std::string path = absl::StrCat(folder, "/", kModelFile);
  char error[1000] = "";
  SpecHandle spec(mj_parseXML(path.c_str(), nullptr, error, sizeof(error)));
  if (spec == nullptr) {
    return absl::NotFoundError(absl::StrCat("MuJoCo cannot load ", path, ": ", error));
  }
  return spec;
}

mjsElement* Find(mjSpec* spec, mjtObj type, const char* name) {
  mjsElement* element = mjs_findElement(spec, type, name);
  DEMORL_CHECK_MSG(element != nullptr, name);
  return element;
}

// A slender rod that hangs from its joint.
void SetLink(mjSpec* spec, const char* name, double length_m, double mass_kg) {
  mjsBody* body = mjs_findBody(spec, name);
  DEMORL_CHECK_MSG(body != nullptr, name);
  const double inertia = mass_kg * length_m * length_m / 12;
  body->explicitinertial = true;
  body->mass = mass_kg;
  // All three: MuJoCo takes the frame of the geoms instead where one of them is not set.
  body->ipos[0] = body->ipos[1] = 0;
  body->ipos[2] = -length_m / 2;
  body->inertia[0] = body->inertia[1] = inertia;
  body->inertia[2] = kAxialInertia;
  mjs_asGeom(Find(spec, mjOBJ_GEOM, name))->fromto[5] = -length_m;
}

void SetJoint(mjSpec* spec, const char* name, const LegParameters& parameters, double max_torque_nm) {
  mjsJoint* joint = mjs_asJoint(Find(spec, mjOBJ_JOINT, name));
  joint->armature = parameters.rotor_inertia_kg_m2;
  joint->damping = parameters.viscous_friction_nm_s_rad;
  mjsActuator* motor = mjs_asActuator(Find(spec, mjOBJ_ACTUATOR, name));
  motor->ctrlrange[0] = -max_torque_nm;
  motor->ctrlrange[1] = max_torque_nm;
}

void DrawPath(mjSpec* spec, const LegParameters& parameters) {
  const FootPath path(parameters.path_half_length_m, parameters.path_base_m, parameters.path_lift_m);
  mjsBody* world = mjs_findBody(spec, "world");
  for (int i = 0; i < kPathSegments; ++i) {
    const double step = 2 * std::numbers::pi / kPathSegments;
    const LegVector from = path.PositionAt(i * step), to = path.PositionAt((i + 1) * step);
    mjsGeom* segment = mjs_addGeom(world, nullptr);
    segment->type = mjGEOM_CAPSULE;
    segment->size[0] = kPathRadius;
    const std::array<double, 6> ends = {from[0], 0, from[1], to[0], 0, to[1]};
    std::copy(ends.begin(), ends.end(), segment->fromto);
    std::copy(kPathColour.begin(), kPathColour.end(), segment->rgba);
    segment->contype = segment->conaffinity = 0;
  }
}

}  // namespace

absl::StatusOr<MjModelHandle> MakeLegModel(const LegParameters& parameters) {
  ASSIGN_OR_RETURN(const SpecHandle spec, ParseFile());
  spec->option.timestep = absl::ToDoubleSeconds(parameters.control_period);
  SetLink(spec.get(), "thigh", parameters.link_length_m[0], parameters.link_mass_kg[0]);
  SetLink(spec.get(), "shank", parameters.link_length_m[1], parameters.link_mass_kg[1]);
  mjs_findBody(spec.get(), "shank")->pos[2] = -parameters.link_length_m[0];
  mjs_asGeom(Find(spec.get(), mjOBJ_GEOM, "foot"))->pos[2] = -parameters.link_length_m[1];
  SetJoint(spec.get(), "hip", parameters, parameters.max_joint_torque_nm[0]);
  SetJoint(spec.get(), "knee", parameters, parameters.max_joint_torque_nm[1]);
  mjsGeom* foot = mjs_asGeom(Find(spec.get(), mjOBJ_GEOM, "foot"));
  mjs_asGeom(Find(spec.get(), mjOBJ_GEOM, "ground"))->pos[2] = parameters.path_base_m - foot->size[0];
  DrawPath(spec.get(), parameters);
  mjModel* model = mj_compile(spec.get(), nullptr);
  if (model == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat("MuJoCo cannot build the leg: ", mjs_getError(spec.get())));
  }
  return MjModelHandle(model, [](const mjModel* m) { mj_deleteModel(const_cast<mjModel*>(m)); });
}

}  // namespace demorl
