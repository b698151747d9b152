#include "common/tensor/transition_chunk.h"

namespace demorl {

int TransitionChunk::num_rows() const {
  int rows = 0;
  for (const Segment& segment : segments) {
    rows += segment.num_steps;
  }
  return rows;
}

void TransitionBatch::Resize(int rows, int new_observation_size, int new_action_size) {
  num_rows = rows;
  observation_size = new_observation_size;
  action_size = new_action_size;
  const size_t count = static_cast<size_t>(rows);
  observations.resize(count * observation_size);
  actions.resize(count * action_size);
  rewards.resize(count);
  next_observations.resize(count * observation_size);
  terminated.resize(count);
}

}  // namespace demorl
