#pragma once

#include <memory>
#include <string>
#include <vector>

#include "common/env/mujoco_environment.h"
#include "common/env/tasks/stochlite/attitude.h"
#include "common/env/tasks/stochlite/leg_kinematics.h"
#include "common/env/tasks/stochlite/model_randomiser.h"
#include "common/env/tasks/stochlite/plane_estimate.h"
#include "common/env/tasks/stochlite/randomisation.h"

namespace demorl::stochlite {

// The robot behind a model whose joints are the torso's free joint, then those of kJointNames, each with a
// position servo.
struct QuadrupedBody {
  std::string model_file;
  LegGeometry leg;
  // Where the feet's positions are measured from, in the torso's frame.
  PerLeg<Vector3> hips_m{};
  // The bodies that carry a draw's added masses, in their order.
  std::vector<const char*> loaded_bodies;
};

// What StochLite and Stoch2 have in common: a walking torso on ground that each episode inclines, feet that
// are commanded and a slope that is estimated from where they are. A task adds the gait and what it is worth.
class QuadrupedEnvironment : public MujocoEnvironment {
 public:
  // Of the running episode.
  const Draw& draw() const { return draw_; }

 protected:
  // `model` is this environment's own, see OwnModel.
  QuadrupedEnvironment(EnvironmentSpec spec, MujocoSetup setup, std::shared_ptr<mjModel> model, uint64_t seed,
                       QuadrupedBody body);

  // A copy of the body's model, which randomisation may change.
  static absl::StatusOr<std::shared_ptr<mjModel>> OwnModel(const std::string& model_file,
                                                           double physics_timestep_s);

  // Changes the model to `draw`; the simulation loses its state.
  void SetDraw(const Draw& draw);
  // The same, and fills a state in which the robot stands along the slope at the world's origin, the feet
  // where `feet_m` has them from the hips, all at one height; disturbed a little.
  void StandAlongSlope(const Draw& draw, const PerLeg<Vector3>& feet_m, Random& random,
                       std::span<double> qpos, std::span<double> qvel);
  // Applies the draw's push, if its time has come, until the next control step.
  void Push();

  Attitude TorsoAttitude() const;
  // From the torso's origin straight down to the ground.
  double TorsoHeight_m() const;
  // Estimates the slope anew from the legs of which `on_ground` is certain.
  void UpdatePlane(const PerLeg<bool>& on_ground);
  PlaneEstimate& plane() { return plane_; }
  const PlaneEstimate& plane() const { return plane_; }

 private:
  LegJoints MeasuredJoints(Leg leg) const;

  const QuadrupedBody body_;
  const int torso_body_;
  ModelRandomiser randomiser_;
  Draw draw_;
  PlaneEstimate plane_;
};

}  // namespace demorl::stochlite
