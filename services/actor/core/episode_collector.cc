#include "services/actor/core/episode_collector.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/crc32c.h"
#include "common/base/status_macros.h"
#include "common/concurrency/worker_pool.h"
#include "services/actor/core/environment_factory.h"
#include "services/actor/core/environment_slot.h"

namespace demorl {
namespace {

constexpr uint64_t kStateFormat = 0x64656d6f616374'01;  // "demoact", version 1

class BatchCollector final : public EpisodeCollector {
 public:
  BatchCollector(const Options& options, std::vector<EnvironmentSlot> slots)
      : options_(options),
        slots_(std::move(slots)),
        spec_(slots_.front().spec()),
        pool_(std::clamp(options.num_threads, 1, options.num_environments), "actor-step"),
        policies_(pool_.num_threads()),
        next_episode_id_(options.first_episode_id) {}

  const EnvironmentSpec& spec() const override { return spec_; }
  uint64_t policy_version() const override { return policy_version_; }
  int64_t num_steps() const override { return num_steps_; }
  int64_t num_non_finite() const override { return num_non_finite_; }

  absl::Status SetPolicy(const TensorFile& tensors, uint64_t version) override {
    // One copy per thread, since a policy owns its scratch space.
    std::vector<std::unique_ptr<MlpPolicy>> policies(policies_.size());
    for (std::unique_ptr<MlpPolicy>& policy : policies) {
      ASSIGN_OR_RETURN(policy, MlpPolicy::Create(tensors, spec_.observation_size, spec_.action_size));
    }
    policies_ = std::move(policies);
    policy_version_ = version;
    return absl::OkStatus();
  }

  absl::Status Step(bool random_actions) override {
    for (EnvironmentSlot& slot : slots_) {
      if (!slot.in_episode()) {
        slot.BeginEpisode(next_episode_id_++);
      }
    }
    const size_t stride = pool_.num_threads();
    const Behaviour behaviour = BehaviourFor(random_actions);
    std::vector<absl::Status> statuses(stride);  // by thread
    pool_.Run([&](int thread) {
      for (size_t i = thread; i < slots_.size(); i += stride) {
        statuses[thread].Update(
            slots_[i].Step(behaviour, policies_[thread].get(), policy_version_, options_.chunk_steps));
      }
    });
    for (EnvironmentSlot& slot : slots_) {
      Collect(slot);
    }
    const auto failed = std::find_if(statuses.begin(), statuses.end(),
                                     [](const absl::Status& status) { return !status.ok(); });
    return failed == statuses.end() ? absl::OkStatus() : *failed;
  }

  TransitionChunk TakeChunk(bool flush) override {
    if (flush) {
      for (EnvironmentSlot& slot : slots_) {
        slot.CloseSegment();
        Collect(slot);
      }
    }
    return TransitionChunk{.observation_size = spec_.observation_size,
                           .action_size = spec_.action_size,
                           .segments = std::exchange(segments_, {})};
  }

  void TruncateEpisodes() override {
    for (EnvironmentSlot& slot : slots_) {
      slot.Truncate();
      Collect(slot);
    }
  }

  std::vector<EpisodeSummary> TakeEpisodes() override { return std::exchange(episodes_, {}); }

  std::string SaveState() const override;
  absl::Status RestoreState(absl::string_view state) override;

 private:
  Behaviour BehaviourFor(bool random_actions) const {
    if (random_actions) {
      return Behaviour::kUniformRandom;
    }
    if (options_.planners.make_planner) {
      return Behaviour::kPlanner;
    }
    return policies_.front() == nullptr ? Behaviour::kUniformRandom : Behaviour::kPolicy;
  }

  // Takes over what a slot has produced; in slot order, so that threads have no influence.
  void Collect(EnvironmentSlot& slot) {
    for (Segment& segment : slot.TakeSegments()) {
      segments_.push_back(std::move(segment));
    }
    if (std::optional<EpisodeSummary> episode = slot.TakeEpisode()) {
      episodes_.push_back(*episode);
    }
    num_steps_ += slot.TakeNumRecorded();
    num_non_finite_ += slot.TakeNumNonFinite();
  }

  bool RestoreBody(StateReader* reader);

  const Options options_;
  std::vector<EnvironmentSlot> slots_;
  const EnvironmentSpec spec_;
  WorkerPool pool_;
  std::vector<std::unique_ptr<MlpPolicy>> policies_;  // one per thread; null before the first SetPolicy
  uint64_t policy_version_ = 0;
  uint64_t next_episode_id_;
  int64_t num_steps_ = 0;
  int64_t num_non_finite_ = 0;
  std::vector<Segment> segments_;
  std::vector<EpisodeSummary> episodes_;
};

std::string BatchCollector::SaveState() const {
  StateWriter writer;
  writer.Value(kStateFormat);
  writer.Text(spec_.SchemaHash());
  writer.Value(static_cast<uint64_t>(slots_.size()));
  writer.Value(next_episode_id_);
  writer.Value(num_steps_);
  writer.Value(num_non_finite_);
  for (const EnvironmentSlot& slot : slots_) {
    slot.Save(&writer);
  }
  writer.Value(static_cast<uint64_t>(segments_.size()));
  for (const Segment& segment : segments_) {
    SaveSegment(segment, &writer);
  }
  writer.Value(static_cast<uint64_t>(episodes_.size()));
  for (const EpisodeSummary& episode : episodes_) {
    writer.Value(episode.episode_return);
    writer.Value(episode.length);
    writer.Value(static_cast<uint8_t>(episode.terminated));
  }
  std::string state = writer.Take();
  const uint32_t crc = Crc32c(state);
  state.append(reinterpret_cast<const char*>(&crc), sizeof(crc));
  return state;
}

bool BatchCollector::RestoreBody(StateReader* reader) {
  uint64_t num_segments = 0, num_episodes = 0;
  if (!reader->Value(next_episode_id_) || !reader->Value(num_steps_) || !reader->Value(num_non_finite_)) {
    return false;
  }
  for (EnvironmentSlot& slot : slots_) {
    if (!slot.Restore(reader)) {
      return false;
    }
  }
  segments_.clear();
  episodes_.clear();
  if (!reader->Value(num_segments)) {
    return false;
  }
  for (uint64_t i = 0; i < num_segments; ++i) {
    segments_.emplace_back();
    if (!RestoreSegment(spec_.observation_size, spec_.action_size, reader, &segments_.back())) {
      return false;
    }
  }
  if (!reader->Value(num_episodes)) {
    return false;
  }
  for (uint64_t i = 0; i < num_episodes; ++i) {
    uint8_t terminated = 0;
    EpisodeSummary episode;
    if (!reader->Value(episode.episode_return) || !reader->Value(episode.length) ||
        !reader->Value(terminated)) {
      return false;
    }
    episode.terminated = terminated != 0;
    episodes_.push_back(episode);
  }
  return reader->AtEnd();
}

absl::Status BatchCollector::RestoreState(absl::string_view state) {
  uint32_t crc = 0;
  if (state.size() < sizeof(crc)) {
    return absl::InvalidArgumentError(absl::StrCat("collector state of ", state.size(), " bytes"));
  }
  const absl::string_view body = state.substr(0, state.size() - sizeof(crc));
  std::memcpy(&crc, state.data() + body.size(), sizeof(crc));
  if (crc != Crc32c(body)) {
    return absl::DataLossError("collector state fails its CRC");
  }
  StateReader reader(body);
  uint64_t format = 0, num_slots = 0;
  absl::string_view schema_hash;
  if (!reader.Value(format) || format != kStateFormat || !reader.Text(schema_hash) ||
      !reader.Value(num_slots)) {
    return absl::InvalidArgumentError("not a collector state of this build");
  }
  if (schema_hash != absl::string_view(spec_.SchemaHash()) || num_slots != slots_.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("collector state of ", num_slots, " environments with schema ", schema_hash,
                     "; this collector has ", slots_.size(), " of ", spec_.SchemaHash()));
  }
  const std::string backup = SaveState();
  if (!RestoreBody(&reader)) {
    StateReader undo(absl::string_view(backup).substr(0, backup.size() - sizeof(crc)));
    undo.Value(format);
    undo.Text(schema_hash);
    undo.Value(num_slots);
    RestoreBody(&undo);
    return absl::InvalidArgumentError("collector state does not fit these environments");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<EpisodeCollector>> CreateEpisodeCollector(
    const EpisodeCollector::Options& options, const EnvironmentFactory& factory) {
  if (options.num_environments < 1 || options.num_threads < 1 || options.chunk_steps < 1) {
    return absl::InvalidArgumentError(absl::StrCat("num_environments ", options.num_environments,
                                                   ", num_threads ", options.num_threads, " and chunk_steps ",
                                                   options.chunk_steps, " must be at least 1"));
  }
  std::vector<EnvironmentSlot> slots;
  slots.reserve(options.num_environments);
  for (int i = 0; i < options.num_environments; ++i) {
    ASSIGN_OR_RETURN(std::unique_ptr<Environment> environment,
                     factory(SplitSeed(options.seed, "environment", i)));
    ASSIGN_OR_RETURN(std::unique_ptr<EnvironmentPlanner> planner,
                     EnvironmentPlanner::Create(options.planners));
    slots.emplace_back(std::move(environment), SplitSeed(options.seed, "action", i), std::move(planner));
  }
  return std::make_unique<BatchCollector>(options, std::move(slots));
}

}  // namespace demorl
