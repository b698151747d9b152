#include "common/env/tasks/humanoid_body.h"

namespace demorl {
namespace {

constexpr size_t kRootVelocities = 6;

}  // namespace

void ObserveHumanoid(const mjModel& model, const mjData& data, HumanoidObservation parts,
                     std::span<double> observation) {
  const size_t num_velocities = model.nv;
  ObservationWriter writer(observation);
  writer.Append({data.qpos + 2, static_cast<size_t>(model.nq - 2)});
  writer.Append({data.qvel, num_velocities});
  if (parts == HumanoidObservation::kPositionsAndVelocities) {
    return;
  }
  const bool world = parts == HumanoidObservation::kWithWorld;
  const size_t first_body = world ? 0 : 1;
  const size_t num_bodies = model.nbody - first_body;
  const size_t first_force = world ? 0 : kRootVelocities;
  writer.Append({data.cinert + 10 * first_body, 10 * num_bodies});
  writer.Append({data.cvel + 6 * first_body, 6 * num_bodies});
  writer.Append({data.qfrc_actuator + first_force, num_velocities - first_force});
  writer.Append({data.cfrc_ext + 6 * first_body, 6 * num_bodies});
}

}  // namespace demorl
