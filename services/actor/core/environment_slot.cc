#include "services/actor/core/environment_slot.h"

#include <cmath>
#include <utility>

#include "common/base/status_macros.h"

namespace demorl {
namespace {

template <typename T>
void SaveVector(const std::vector<T>& values, StateWriter* writer) {
  writer->Text(absl::string_view(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)));
}

template <typename T>
bool RestoreVector(size_t size, StateReader* reader, std::vector<T>* values) {
  absl::string_view bytes;
  if (!reader->Text(bytes) || bytes.size() / sizeof(T) != size || bytes.size() % sizeof(T) != 0) {
    return false;
  }
  values->resize(size);
  if (size > 0) {
    std::memcpy(values->data(), bytes.data(), bytes.size());
  }
  return true;
}

// A bool is read as a byte: any other value of it is a damaged state.
bool RestoreFlag(StateReader* reader, bool* flag) {
  uint8_t value = 0;
  if (!reader->Value(value) || value > 1) {
    return false;
  }
  *flag = value == 1;
  return true;
}

void SaveFlag(bool flag, StateWriter* writer) { writer->Value(static_cast<uint8_t>(flag)); }

void SaveEpisode(const EpisodeSummary& episode, StateWriter* writer) {
  writer->Value(episode.episode_return);
  writer->Value(episode.length);
  SaveFlag(episode.terminated, writer);
}

bool RestoreEpisode(StateReader* reader, EpisodeSummary* episode) {
  return reader->Value(episode->episode_return) && reader->Value(episode->length) &&
         RestoreFlag(reader, &episode->terminated);
}

}  // namespace

void SaveSegment(const Segment& segment, StateWriter* writer) {
  writer->Value(segment.episode_id);
  writer->Value(segment.first_step);
  writer->Value(segment.num_steps);
  SaveVector(segment.observations, writer);
  SaveVector(segment.actions, writer);
  SaveVector(segment.rewards, writer);
  SaveVector(segment.policy_versions, writer);
  SaveFlag(segment.terminated, writer);
  SaveFlag(segment.truncated, writer);
}

bool RestoreSegment(int observation_size, int action_size, StateReader* reader, Segment* segment) {
  if (!reader->Value(segment->episode_id) || !reader->Value(segment->first_step) ||
      !reader->Value(segment->num_steps) || segment->num_steps < 0) {
    return false;
  }
  const size_t steps = segment->num_steps;
  return RestoreVector((steps + 1) * observation_size, reader, &segment->observations) &&
         RestoreVector(steps * action_size, reader, &segment->actions) &&
         RestoreVector(steps, reader, &segment->rewards) &&
         RestoreVector(steps, reader, &segment->policy_versions) &&
         RestoreFlag(reader, &segment->terminated) && RestoreFlag(reader, &segment->truncated);
}

EnvironmentSlot::EnvironmentSlot(std::unique_ptr<Environment> environment, uint64_t action_seed,
                                 std::unique_ptr<EnvironmentPlanner> planner)
    : environment_(std::move(environment)),
      planner_(std::move(planner)),
      random_(action_seed),
      observation_(spec().observation_size),
      action_(spec().action_size),
      command_(spec().action_size) {
  OpenSegment(0);
}

void EnvironmentSlot::OpenSegment(int first_step) {
  open_ = Segment{.episode_id = episode_id_, .first_step = first_step, .observations = observation_};
}

void EnvironmentSlot::BeginEpisode(uint64_t episode_id) {
  episode_id_ = episode_id;
  episode_ = EpisodeSummary{};
  in_episode_ = true;
  needs_reset_ = true;
}

bool EnvironmentSlot::Observe(const Timestep& timestep) {
  bool finite = std::isfinite(timestep.reward);
  for (size_t i = 0; i < observation_.size(); ++i) {
    observation_[i] = static_cast<float>(timestep.observation[i]);
    finite = finite && std::isfinite(observation_[i]);
  }
  return finite;
}

bool EnvironmentSlot::Start() {
  needs_reset_ = false;
  if (!Observe(environment_->Reset())) {
    ++num_non_finite_;
    in_episode_ = false;
    return false;
  }
  OpenSegment(0);
  return true;
}

absl::StatusOr<uint64_t> EnvironmentSlot::ChooseAction(Behaviour behaviour, MlpPolicy* policy,
                                                       uint64_t policy_version) {
  switch (behaviour) {
    case Behaviour::kUniformRandom:
      for (float& value : action_) {
        value = static_cast<float>(random_.Uniform(-1, 1));
      }
      policy_version = 0;
      break;
    case Behaviour::kPolicy:
      policy->Sample(observation_, random_, action_);
      break;
    case Behaviour::kPlanner: {
      ASSIGN_OR_RETURN(policy_version,
                       planner_->Plan(*environment_, observation_, episode_.length == 0, action_));
      break;
    }
  }
  bool finite = true;
  for (size_t i = 0; i < action_.size(); ++i) {
    if (!std::isfinite(action_[i])) {
      action_[i] = 0;
      finite = false;
    }
    command_[i] = action_[i];
  }
  num_non_finite_ += finite ? 0 : 1;
  return policy_version;
}

absl::Status EnvironmentSlot::Step(Behaviour behaviour, MlpPolicy* policy, uint64_t policy_version,
                                   int chunk_steps) {
  if (needs_reset_ && !Start()) {
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(const uint64_t version, ChooseAction(behaviour, policy, policy_version));
  const Timestep timestep = environment_->Step(command_);
  if (!Observe(timestep)) {
    ++num_non_finite_;
    Truncate();
    return absl::OkStatus();
  }
  Record(timestep, version);
  if (timestep.step_type == StepType::kLast) {
    open_.terminated = timestep.terminated;
    open_.truncated = timestep.truncated;
    episode_.terminated = timestep.terminated;
    finished_ = episode_;
    CloseSegment();
    in_episode_ = false;
  } else if (open_.num_steps >= chunk_steps) {
    CloseSegment();
  }
  return absl::OkStatus();
}

void EnvironmentSlot::Record(const Timestep& timestep, uint64_t policy_version) {
  open_.observations.insert(open_.observations.end(), observation_.begin(), observation_.end());
  open_.actions.insert(open_.actions.end(), action_.begin(), action_.end());
  open_.rewards.push_back(static_cast<float>(timestep.reward));
  open_.policy_versions.push_back(policy_version);
  ++open_.num_steps;
  ++num_recorded_;
  ++episode_.length;
  episode_.episode_return += timestep.reward;
}

void EnvironmentSlot::CloseSegment() {
  if (open_.num_steps == 0) {
    return;
  }
  const int next_step = open_.first_step + open_.num_steps;
  closed_.push_back(std::move(open_));
  OpenSegment(next_step);
}

void EnvironmentSlot::Truncate() {
  open_.truncated = open_.num_steps > 0;
  CloseSegment();
  in_episode_ = false;
}

std::vector<Segment> EnvironmentSlot::TakeSegments() { return std::exchange(closed_, {}); }
std::optional<EpisodeSummary> EnvironmentSlot::TakeEpisode() {
  return std::exchange(finished_, std::nullopt);
}
int64_t EnvironmentSlot::TakeNumRecorded() { return std::exchange(num_recorded_, 0); }
int64_t EnvironmentSlot::TakeNumNonFinite() { return std::exchange(num_non_finite_, 0); }

// The results that Take* hand out are the collector's by the time it saves.
void EnvironmentSlot::Save(StateWriter* writer) const {
  writer->Text(environment_->SaveState());
  writer->Value(random_.SaveState());
  SaveFlag(in_episode_, writer);
  SaveFlag(needs_reset_, writer);
  writer->Value(episode_id_);
  SaveEpisode(episode_, writer);
  SaveVector(observation_, writer);
  SaveSegment(open_, writer);
}

bool EnvironmentSlot::Restore(StateReader* reader) {
  absl::string_view environment_state;
  Random::State random_state;
  if (!reader->Text(environment_state) || !reader->Value(random_state) ||
      !RestoreFlag(reader, &in_episode_) || !RestoreFlag(reader, &needs_reset_) ||
      !reader->Value(episode_id_) || !RestoreEpisode(reader, &episode_) ||
      !RestoreVector(spec().observation_size, reader, &observation_) ||
      !RestoreSegment(spec().observation_size, spec().action_size, reader, &open_)) {
    return false;
  }
  random_.RestoreState(random_state);
  closed_.clear();
  finished_.reset();
  num_recorded_ = 0;
  num_non_finite_ = 0;
  return environment_->RestoreState(environment_state).ok();
}

}  // namespace demorl
