#include "common/planning/candidates.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "common/base/status_macros.h"
#include "common/planning/action_sources.h"
#include "common/planning/plan_noise.h"

namespace demorl {
namespace {

int NumParticles(const DmdMpcOptions& options, const DynamicsModel& model) {
  switch (options.model_draw) {
    case ModelDrawKind::kEliteMean:
      return model.num_elite_members() * options.num_particles;
    case ModelDrawKind::kParticles:
      return options.num_particles;
    default:
      return 1;
  }
}

int NumSamples(const DmdMpcOptions& options) {
  return options.objective == ObjectiveKind::kNone ? 1 : options.population_size;
}

// At least sample 0 stays with the plan.
int NumProposals(const DmdMpcOptions& options) {
  const int num_samples = NumSamples(options);
  return std::min(static_cast<int>(std::lround(options.policy_proposal_ratio * num_samples)),
                  num_samples - 1);
}

std::vector<Random> MakeStreams(const PlanningTask& task, absl::string_view name, int first_start,
                                int num_starts) {
  std::vector<Random> streams;
  streams.reserve(num_starts);
  for (int s = 0; s < num_starts; ++s) {
    streams.push_back(StartStream(task, name, first_start + s));
  }
  return streams;
}

// The mean of the particles' returns; -inf if one of them is.
double MeanReturn(std::span<const double> returns) {
  double sum = 0;
  for (const double value : returns) {
    sum += value;
  }
  return sum / static_cast<double>(returns.size());
}

}  // namespace

Random StartStream(const PlanningTask& task, absl::string_view name, int start_index) {
  return Random(SplitSeed(task.seed, name, start_index));
}

int RowsPerStart(const DmdMpcOptions& options, const DynamicsModel& model) {
  return NumSamples(options) * NumParticles(options, model);
}

CandidateSampler::CandidateSampler(const DmdMpcOptions& options, const PlanningParts& parts,
                                   const PlanningTask& task, int first_start, int num_starts)
    : options_(options),
      parts_(parts),
      task_(task),
      first_start_(first_start),
      num_starts_(num_starts),
      num_samples_(NumSamples(options)),
      num_proposals_(NumProposals(options)),
      num_particles_(NumParticles(options, *parts.model)),
      plan_size_(task.horizon_steps * parts.model->action_size()),
      action_size_(parts.model->action_size()),
      noise_streams_(MakeStreams(task, "noise", first_start, num_starts)),
      policy_streams_(MakeStreams(task, "policy", first_start, num_starts)),
      member_streams_(MakeStreams(task, "member", first_start, num_starts)),
      model_streams_(MakeStreams(task, "model", first_start, num_starts)) {
  const int num_members = parts.model->num_elite_members();
  for (int s = 0; s < num_starts; ++s) {
    for (int p = 0; p < num_particles_; ++p) {
      const bool each_member = options.model_draw == ModelDrawKind::kEliteMean;
      members_.push_back(each_member ? p % num_members
                                     : static_cast<int>(member_streams_[s].Index(num_members)));
    }
  }
  if (options.refit_stddev) {
    variances_.assign(static_cast<size_t>(num_starts) * plan_size_,
                      options.noise_stddev * options.noise_stddev);
  }
}

absl::StatusOr<Candidates> CandidateSampler::Sample(int iteration, const std::vector<float>& plans) {
  Candidates candidates;
  candidates.num_samples = num_samples_;
  candidates.plan_size = plan_size_;
  const bool follow_policy = iteration == 0 && options_.shift == ShiftKind::kPolicy;
  const std::vector<float> base = iteration == 0 ? ShiftedPlans() : plans;
  FillNoise(iteration, base, &candidates);
  RETURN_IF_ERROR(RollCandidates(follow_policy, base, &candidates));
  if (num_particles_ > 1) {
    RETURN_IF_ERROR(ScoreOverParticles(&candidates));
  }
  return candidates;
}

// Phi_t of eq. 5 where it is not the policy: the plan of before moved by one step, its last action repeated.
std::vector<float> CandidateSampler::ShiftedPlans() const {
  std::vector<float> shifted(static_cast<size_t>(num_starts_) * plan_size_, 0.0F);
  if (options_.shift != ShiftKind::kPreviousPlan || task_.previous_plans.empty()) {
    return shifted;
  }
  const size_t total_starts = task_.start_observations.size() / parts_.model->observation_size();
  const int previous_steps = static_cast<int>(task_.previous_plans.size() / total_starts) / action_size_;
  for (int s = 0; s < num_starts_; ++s) {
    const size_t previous = static_cast<size_t>(first_start_ + s) * previous_steps;
    for (int h = 0; h < task_.horizon_steps; ++h) {
      const size_t from = previous + std::min(h + 1, previous_steps - 1);
      std::copy_n(&task_.previous_plans[from * action_size_], action_size_,
                  &shifted[static_cast<size_t>(s) * plan_size_ + static_cast<size_t>(h) * action_size_]);
    }
  }
  return shifted;
}

// Sigma of eq. 10. While it is refitted, two standard deviations fit between the mean and the nearer bound
// [PETS; LOOP].
float CandidateSampler::SampleStddev(int start, int entry, const std::vector<float>& base) const {
  if (variances_.empty()) {
    return static_cast<float>(options_.noise_stddev);
  }
  const size_t index = static_cast<size_t>(start) * plan_size_ + entry;
  const double room = std::max(0.0, options_.action_bound - std::abs(static_cast<double>(base[index])));
  return static_cast<float>(std::min(std::sqrt(variances_[index]), room / 2));
}

void CandidateSampler::FillNoise(int iteration, const std::vector<float>& base, Candidates* candidates) {
  candidates->noise.assign(static_cast<size_t>(num_starts_) * num_samples_ * plan_size_, 0.0F);
  if (options_.shared_noise) {
    FillSharedNoise(iteration, candidates);
  }
  const int first_noisy = options_.noisy_base ? 0 : 1;
  for (int s = 0; s < num_starts_; ++s) {
    for (int m = 0; m < num_samples_; ++m) {
      const std::span<float> noise(
          &candidates->noise[(static_cast<size_t>(s) * num_samples_ + m) * plan_size_], plan_size_);
      if (m < first_noisy || IsProposal(m)) {
        std::fill(noise.begin(), noise.end(), 0.0F);
        continue;
      }
      if (!options_.shared_noise) {
        FillPlanNoise(options_.noise_kind, options_.noise_beta, action_size_, noise_streams_[s], noise);
      }
      for (int i = 0; i < plan_size_; ++i) {
        noise[i] *= SampleStddev(s, i, base);
      }
    }
  }
}

void CandidateSampler::FillSharedNoise(int iteration, Candidates* candidates) const {
  const size_t per_start = static_cast<size_t>(num_samples_) * plan_size_;
  for (int m = 0; m < num_samples_; ++m) {
    Random random(SplitSeed(task_.shared_noise_seed, "shared_noise",
                            static_cast<uint64_t>(iteration) * num_samples_ + m));
    FillPlanNoise(options_.noise_kind, options_.noise_beta, action_size_, random,
                  {&candidates->noise[static_cast<size_t>(m) * plan_size_], static_cast<size_t>(plan_size_)});
  }
  for (int s = 1; s < num_starts_; ++s) {
    std::copy_n(candidates->noise.begin(), per_start, candidates->noise.begin() + s * per_start);
  }
}

RolloutRequest CandidateSampler::MakeRequest(int num_samples, int num_particles) {
  RolloutRequest request;
  request.horizon_steps = task_.horizon_steps;
  const int observation_size = parts_.model->observation_size();
  for (int s = 0; s < num_starts_; ++s) {
    const auto observation = task_.start_observations.subspan(
        static_cast<size_t>(first_start_ + s) * observation_size, observation_size);
    for (int row = 0; row < num_samples * num_particles; ++row) {
      request.observations.insert(request.observations.end(), observation.begin(), observation.end());
      request.start_indices.push_back(first_start_ + s);
      request.members.push_back(members_[s * num_particles_ + row % num_particles]);
    }
  }
  request.redraw_members = options_.model_draw == ModelDrawKind::kPerStep;
  request.member_streams = member_streams_;
  request.model_streams = model_streams_;
  request.draws_per_start = options_.shared_model_draws ? num_particles : 0;
  request.out_of_time = task_.out_of_time;
  return request;
}

absl::Status CandidateSampler::RollCandidates(bool follow_policy, const std::vector<float>& base,
                                              Candidates* candidates) {
  if (num_particles_ > 1 && !follow_policy && num_proposals_ == 0) {
    candidates->actions = AddNoise(base, candidates->noise, num_samples_, plan_size_, options_.action_bound);
    candidates->returns.assign(static_cast<size_t>(num_starts_) * num_samples_, 0.0);
    return absl::OkStatus();
  }
  const RolloutRequest request = MakeRequest(num_samples_, 1);
  CandidateActions source({.base = base,
                           .noise = candidates->noise,
                           .num_samples = num_samples_,
                           .num_proposals = num_proposals_,
                           .follow_policy = follow_policy,
                           .sampled_policy = options_.sampled_policy,
                           .sampled_base = options_.noisy_base,
                           .action_size = action_size_,
                           .observation_size = parts_.model->observation_size()},
                          parts_.policy, policy_streams_);
  ASSIGN_OR_RETURN(Rollouts rollouts, RollOut(options_, parts_, request, source));
  candidates->actions = std::move(rollouts.actions);
  candidates->returns = std::move(rollouts.returns);
  return absl::OkStatus();
}

absl::Status CandidateSampler::ScoreOverParticles(Candidates* candidates) {
  const RolloutRequest request = MakeRequest(num_samples_, num_particles_);
  OpenLoopActions source(candidates->actions, num_particles_, task_.horizon_steps, action_size_);
  ASSIGN_OR_RETURN(const Rollouts rollouts, RollOut(options_, parts_, request, source));
  for (size_t c = 0; c < candidates->returns.size(); ++c) {
    if (std::isfinite(candidates->returns[c])) {
      candidates->returns[c] =
          MeanReturn({&rollouts.returns[c * num_particles_], static_cast<size_t>(num_particles_)});
    }
  }
  return absl::OkStatus();
}

void CandidateSampler::RefitStddev(int start, const Candidates& candidates, std::span<const double> weights,
                                   std::span<const double> mean) {
  for (int i = 0; i < plan_size_; ++i) {
    double spread = 0;
    for (size_t m = 0; m < weights.size(); ++m) {
      const double deviation = candidates.ActionsOf(start, m)[i] - mean[i];
      spread += weights[m] * deviation * deviation;
    }
    double& variance = variances_[static_cast<size_t>(start) * plan_size_ + i];
    variance = options_.refit_smoothing * variance + (1 - options_.refit_smoothing) * std::max(0.0, spread);
  }
}

}  // namespace demorl
