#include "services/robot_gateway/core/state_board.h"

namespace demorl {

void StateBoard::Update(const TickRecord& record) {
  absl::MutexLock lock(&mutex_);
  summary_.ticking = true;
  summary_.last = record;
  for (size_t i = 0; i < record.clamps.size(); ++i) {
    summary_.clamps[i] += record.clamps[i];
  }
  if (record.step == TickStep::kFirst) {
    return_ = 0;
  } else if (record.step != TickStep::kNone) {
    return_ += record.reward;
  }
  if (record.step == TickStep::kLast) {
    ++summary_.episodes;
    summary_.last_return = return_;
  }
}

}  // namespace demorl
