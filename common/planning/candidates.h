#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/random.h"
#include "common/planning/dmd_mpc.h"

namespace demorl {

// Parts of the inner loop that sample and score plans; dmd_mpc.h is what others use. S start states of a
// block, M samples each, H steps, A action dimensions.

// Named random stream of one start state of a task.
Random StartStream(const PlanningTask& task, absl::string_view name, int start_index);

// Rollouts that one start state needs in one call of the model: samples times particles.
int RowsPerStart(const DmdMpcOptions& options, const DynamicsModel& model);

struct Candidates {
  int num_samples = 0;
  int plan_size = 0;            // H A
  std::vector<double> returns;  // [S, M]
  std::vector<float> actions;   // [S, M, H, A]
  std::vector<float> noise;     // [S, M, H, A], as added to the actions before they were clipped

  std::span<const double> ReturnsOf(int start) const {
    return {&returns[static_cast<size_t>(start) * num_samples], static_cast<size_t>(num_samples)};
  }
  std::span<const float> ActionsOf(int start, size_t sample) const { return Of(actions, start, sample); }
  std::span<const float> NoiseOf(int start, size_t sample) const { return Of(noise, start, sample); }

 private:
  std::span<const float> Of(const std::vector<float>& values, int start, size_t sample) const {
    return {&values[(static_cast<size_t>(start) * num_samples + sample) * plan_size],
            static_cast<size_t>(plan_size)};
  }
};

// Draws the candidates of each iteration around the plans of a block and scores them.
class CandidateSampler {
 public:
  CandidateSampler(const DmdMpcOptions& options, const PlanningParts& parts, const PlanningTask& task,
                   int first_start, int num_starts);

  // `plans` [S, H, A] are those of the iteration before; not read in iteration 0, which starts from the
  // shift.
  absl::StatusOr<Candidates> Sample(int iteration, const std::vector<float>& plans);

  // variance = smoothing * old + (1 - smoothing) * sum_i w_i (u_i - g)^2, per step and action [LOOP; PETS].
  void RefitStddev(int start, const Candidates& candidates, std::span<const double> weights,
                   std::span<const double> mean);

 private:
  std::vector<float> ShiftedPlans() const;
  void FillNoise(int iteration, const std::vector<float>& base, Candidates* candidates);
  void FillSharedNoise(int iteration, Candidates* candidates) const;
  float SampleStddev(int start, int entry, const std::vector<float>& base) const;
  // Rolls the candidates out at their own states and records their actions.
  absl::Status RollCandidates(bool follow_policy, const std::vector<float>& base, Candidates* candidates);
  // Returns of the recorded actions, averaged over particles of several members.
  absl::Status ScoreOverParticles(Candidates* candidates);
  RolloutRequest MakeRequest(int num_samples, int num_particles);
  bool IsProposal(int sample) const { return sample >= num_samples_ - num_proposals_; }

  const DmdMpcOptions& options_;
  const PlanningParts& parts_;
  const PlanningTask& task_;
  const int first_start_;
  const int num_starts_;
  const int num_samples_;
  const int num_proposals_;
  const int num_particles_;
  const int plan_size_;
  const int action_size_;
  std::vector<int> members_;       // [S, particles]
  std::vector<double> variances_;  // [S, H, A], only when refitted
  std::vector<Random> noise_streams_;
  std::vector<Random> policy_streams_;
  std::vector<Random> member_streams_;
  std::vector<Random> model_streams_;
};

}  // namespace demorl
