#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "absl/time/time.h"
#include "common/tensor/round_claim.h"

namespace demorl {

// Shares the planning rounds of one table out among its planners: each new dynamics version calls for some
// rounds, and of each round, one after the other, every planner gets an equal part. Rounds that have not
// begun when a newer version comes are skipped, so that plans are made with what is newest.
// Thread-compatible.
class PlanningRounds {
 public:
  // For a table that holds rows of this dynamics version and round already; 0 for none.
  void GoOnAfter(uint64_t dynamics_version, uint64_t planning_round);

  RoundShare Claim(const RoundClaim& claim, absl::Duration now);

  // Rounds that are due or under way, of parts of which some are done.
  double queued() const;
  // Rounds that never began, since the table exists in this process.
  int64_t skipped() const { return skipped_; }
  // Planners that have asked lately or are at work.
  int planners() const { return static_cast<int>(planners_.size()); }

 private:
  struct Planner {
    uint64_t dynamics_version = 0;
    absl::Duration last_asked;
    // At work on; no start states when idle.
    RoundShare share;
    absl::Duration lease_end;
  };

  void ForgetOldPlanners(absl::Duration now);
  void GiveBack(const RoundShare& share);
  void NoteVersion(const RoundClaim& claim, uint64_t former_version);

  std::map<std::string, Planner> planners_;
  uint64_t dynamics_version_ = 0;
  uint64_t round_ = 0;
  // Start states of `round_` that nobody has claimed.
  int64_t unclaimed_ = 0;
  int64_t start_states_per_round_ = 1;
  int64_t rounds_waiting_ = 0;
  int64_t skipped_ = 0;
};

}  // namespace demorl
