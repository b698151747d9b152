#include "services/replay/core/planning_rounds.h"

#include <algorithm>

namespace demorl {
namespace {

// An idle planner asks every second.
constexpr absl::Duration kForgetAfter = absl::Seconds(5);

}  // namespace

void PlanningRounds::GoOnAfter(uint64_t dynamics_version, uint64_t planning_round) {
  dynamics_version_ = dynamics_version;
  round_ = planning_round;
}

RoundShare PlanningRounds::Claim(const RoundClaim& claim, absl::Duration now) {
  ForgetOldPlanners(now);
  Planner& planner = planners_[claim.planner_id];
  if (!claim.finished) {
    GiveBack(planner.share);
  }
  planner.share = {};
  planner.last_asked = now;
  NoteVersion(claim, planner.dynamics_version);
  planner.dynamics_version = claim.dynamics_version;
  if (claim.dynamics_version != dynamics_version_) {
    return {};  // it will hear of the newer one soon
  }
  if (unclaimed_ == 0 && rounds_waiting_ > 0) {
    --rounds_waiting_;
    ++round_;
    start_states_per_round_ = std::max<int64_t>(claim.start_states_per_round, 1);
    unclaimed_ = start_states_per_round_;
  }
  const auto count = static_cast<int64_t>(planners_.size());
  const int64_t equal_part = (start_states_per_round_ + count - 1) / count;
  planner.share = {.planning_round = round_, .start_states = std::min(equal_part, unclaimed_)};
  unclaimed_ -= planner.share.start_states;
  planner.lease_end = now + claim.lease;
  return planner.share;
}

double PlanningRounds::queued() const {
  int64_t start_states = unclaimed_;
  for (const auto& [id, planner] : planners_) {
    start_states += planner.share.start_states;
  }
  return static_cast<double>(rounds_waiting_) +
         static_cast<double>(start_states) / static_cast<double>(start_states_per_round_);
}

void PlanningRounds::ForgetOldPlanners(absl::Duration now) {
  for (auto it = planners_.begin(); it != planners_.end();) {
    const Planner& planner = it->second;
    const bool works = planner.share.start_states > 0 && now < planner.lease_end;
    if (works || now - planner.last_asked < kForgetAfter) {
      ++it;
      continue;
    }
    GiveBack(planner.share);
    it = planners_.erase(it);
  }
}

// Rows of rounds that others have followed are not made up for.
void PlanningRounds::GiveBack(const RoundShare& share) {
  if (share.planning_round == round_) {
    unclaimed_ += share.start_states;
  }
}

// A planner that hears of a version later than the others must not start its rounds once more; one that goes
// back to an older version follows a pin.
void PlanningRounds::NoteVersion(const RoundClaim& claim, uint64_t former_version) {
  const bool goes_back = claim.dynamics_version < former_version;
  if (claim.dynamics_version == dynamics_version_ ||
      (claim.dynamics_version < dynamics_version_ && !goes_back)) {
    return;
  }
  dynamics_version_ = claim.dynamics_version;
  skipped_ += rounds_waiting_;
  rounds_waiting_ = claim.rounds_per_version;
}

}  // namespace demorl
