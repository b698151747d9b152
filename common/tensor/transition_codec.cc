#include "common/tensor/transition_codec.h"

#include <bit>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/tensor/trace_codec.h"

namespace demorl {
namespace {

namespace pb = ::demorl::common::v1;

static_assert(std::endian::native == std::endian::little,
              "the wire format is little-endian and copied as it is");

// Largest observation or action a message may declare: keeps products below far from overflow.
constexpr uint32_t kMaxVectorSize = 1 << 20;

// Copies `bytes` into `out` if it holds exactly rows * columns elements.
template <typename T>
absl::Status DecodeColumn(absl::string_view field, absl::string_view bytes, uint64_t rows, uint64_t columns,
                          std::vector<T>* out) {
  const uint64_t wanted = rows * columns * sizeof(T);
  if (bytes.size() != wanted) {
    return absl::InvalidArgumentError(absl::StrCat(field, " has ", bytes.size(), " bytes; want ", wanted,
                                                   " for ", rows, " x ", columns, " elements of ", sizeof(T),
                                                   " bytes"));
  }
  out->resize(rows * columns);
  if (wanted > 0) {
    std::memcpy(out->data(), bytes.data(), wanted);
  }
  return absl::OkStatus();
}

template <typename T>
void EncodeColumn(const std::vector<T>& values, std::string* out) {
  out->assign(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T));
}

void EncodeSegment(const Segment& segment, pb::Segment* message) {
  message->set_episode_id(segment.episode_id);
  message->set_first_step(static_cast<uint32_t>(segment.first_step));
  message->set_num_steps(static_cast<uint32_t>(segment.num_steps));
  EncodeColumn(segment.observations, message->mutable_observations());
  EncodeColumn(segment.actions, message->mutable_actions());
  EncodeColumn(segment.rewards, message->mutable_rewards());
  message->mutable_policy_versions()->Assign(segment.policy_versions.begin(), segment.policy_versions.end());
  message->set_terminated(segment.terminated);
  message->set_truncated(segment.truncated);
  message->set_intervened(segment.intervened);
  if (segment.provenance.has_value()) {
    pb::PlannedProvenance* provenance = message->mutable_provenance();
    provenance->set_dynamics_version(segment.provenance->dynamics_version);
    provenance->set_horizon_steps(static_cast<uint32_t>(segment.provenance->horizon_steps));
    provenance->set_planning_round(segment.provenance->planning_round);
    EncodeColumn(segment.provenance->disagreement, provenance->mutable_disagreement());
  }
}

absl::Status DecodeProvenance(const pb::PlannedProvenance& message, uint64_t num_steps, Segment* segment) {
  PlannedProvenance& provenance = segment->provenance.emplace();
  provenance.dynamics_version = message.dynamics_version();
  provenance.horizon_steps = static_cast<int>(message.horizon_steps());
  provenance.planning_round = message.planning_round();
  if (!message.disagreement().empty()) {
    RETURN_IF_ERROR(DecodeColumn("provenance.disagreement", message.disagreement(), num_steps, 1,
                                 &provenance.disagreement));
  }
  return absl::OkStatus();
}

absl::Status DecodeSegment(const pb::Segment& message, uint64_t observation_size, uint64_t action_size,
                           Segment* segment) {
  const uint64_t num_steps = message.num_steps();
  if (num_steps == 0 || num_steps > message.rewards().size()) {
    return absl::InvalidArgumentError(absl::StrCat("num_steps = ", num_steps,
                                                   "; want 1 to the number of rewards, ",
                                                   message.rewards().size() / sizeof(float)));
  }
  if (static_cast<uint64_t>(message.policy_versions_size()) != num_steps) {
    return absl::InvalidArgumentError(
        absl::StrCat("policy_versions has ", message.policy_versions_size(), " entries; want ", num_steps));
  }
  segment->episode_id = message.episode_id();
  segment->first_step = static_cast<int>(message.first_step());
  segment->num_steps = static_cast<int>(num_steps);
  RETURN_IF_ERROR(DecodeColumn("observations", message.observations(), num_steps + 1, observation_size,
                               &segment->observations));
  RETURN_IF_ERROR(DecodeColumn("actions", message.actions(), num_steps, action_size, &segment->actions));
  RETURN_IF_ERROR(DecodeColumn("rewards", message.rewards(), num_steps, 1, &segment->rewards));
  segment->policy_versions.assign(message.policy_versions().begin(), message.policy_versions().end());
  segment->terminated = message.terminated();
  segment->truncated = message.truncated();
  segment->intervened = message.intervened();
  if (message.has_provenance()) {
    RETURN_IF_ERROR(DecodeProvenance(message.provenance(), num_steps, segment));
  }
  return absl::OkStatus();
}

absl::Status CheckVectorSize(absl::string_view field, uint64_t size) {
  if (size == 0 || size > kMaxVectorSize) {
    return absl::InvalidArgumentError(absl::StrCat(field, " = ", size, "; want 1 to ", kMaxVectorSize));
  }
  return absl::OkStatus();
}

}  // namespace

std::string EncodeFloats(const std::vector<float>& values) {
  std::string bytes;
  EncodeColumn(values, &bytes);
  return bytes;
}

absl::StatusOr<std::vector<float>> DecodeFloats(absl::string_view bytes) {
  std::vector<float> values;
  RETURN_IF_ERROR(DecodeColumn("floats", bytes, bytes.size() / sizeof(float), 1, &values));
  return values;
}

pb::EnvironmentSpec EncodeEnvironmentSpec(const EnvironmentSpec& spec) {
  pb::EnvironmentSpec message;
  message.set_environment_id(spec.environment_id);
  message.mutable_observation()->set_name("observation");
  message.mutable_observation()->set_data_type(pb::DATA_TYPE_FLOAT32);
  message.mutable_observation()->add_shape(static_cast<uint32_t>(spec.observation_size));
  message.mutable_action()->set_name("action");
  message.mutable_action()->set_data_type(pb::DATA_TYPE_FLOAT32);
  message.mutable_action()->add_shape(static_cast<uint32_t>(spec.action_size));
  message.mutable_action()->mutable_minimum()->Assign(spec.command_minimum.begin(),
                                                      spec.command_minimum.end());
  message.mutable_action()->mutable_maximum()->Assign(spec.command_maximum.begin(),
                                                      spec.command_maximum.end());
  const int64_t nanoseconds = absl::ToInt64Nanoseconds(spec.control_period);
  message.mutable_control_period()->set_seconds(nanoseconds / 1'000'000'000);
  message.mutable_control_period()->set_nanos(static_cast<int32_t>(nanoseconds % 1'000'000'000));
  message.set_max_episode_steps(static_cast<uint32_t>(spec.max_episode_steps));
  message.set_schema_hash(spec.SchemaHash());
  return message;
}

absl::StatusOr<EnvironmentSpec> DecodeEnvironmentSpec(const pb::EnvironmentSpec& message) {
  if (message.observation().shape_size() != 1 || message.action().shape_size() != 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("observation and action have ", message.observation().shape_size(), " and ",
                     message.action().shape_size(), " dimensions; want 1 and 1"));
  }
  RETURN_IF_ERROR(CheckVectorSize("observation.shape[0]", message.observation().shape(0)));
  RETURN_IF_ERROR(CheckVectorSize("action.shape[0]", message.action().shape(0)));
  EnvironmentSpec spec;
  spec.environment_id = message.environment_id();
  spec.observation_size = static_cast<int>(message.observation().shape(0));
  spec.action_size = static_cast<int>(message.action().shape(0));
  spec.command_minimum.assign(message.action().minimum().begin(), message.action().minimum().end());
  spec.command_maximum.assign(message.action().maximum().begin(), message.action().maximum().end());
  spec.control_period =
      absl::Seconds(message.control_period().seconds()) + absl::Nanoseconds(message.control_period().nanos());
  spec.max_episode_steps = static_cast<int>(message.max_episode_steps());
  if (message.schema_hash() != spec.SchemaHash()) {
    return absl::InvalidArgumentError(absl::StrCat("schema_hash = '", message.schema_hash(), "'; want ",
                                                   spec.SchemaHash(), " for the fields of '",
                                                   spec.environment_id, "'"));
  }
  return spec;
}

pb::TransitionChunk EncodeTransitionChunk(const TransitionChunk& chunk) {
  pb::TransitionChunk message;
  message.set_observation_size(static_cast<uint32_t>(chunk.observation_size));
  message.set_action_size(static_cast<uint32_t>(chunk.action_size));
  for (const Segment& segment : chunk.segments) {
    EncodeSegment(segment, message.add_segments());
  }
  if (chunk.trace.has_value()) {
    *message.mutable_trace() = EncodeTraceContext(*chunk.trace);
  }
  return message;
}

absl::StatusOr<TransitionChunk> DecodeTransitionChunk(const pb::TransitionChunk& message) {
  RETURN_IF_ERROR(CheckVectorSize("observation_size", message.observation_size()));
  RETURN_IF_ERROR(CheckVectorSize("action_size", message.action_size()));
  TransitionChunk chunk;
  chunk.observation_size = static_cast<int>(message.observation_size());
  chunk.action_size = static_cast<int>(message.action_size());
  chunk.segments.reserve(static_cast<size_t>(message.segments_size()));
  for (const pb::Segment& segment : message.segments()) {
    RETURN_IF_ERROR(DecodeSegment(segment, message.observation_size(), message.action_size(),
                                  &chunk.segments.emplace_back()));
  }
  if (message.has_trace()) {
    chunk.trace = DecodeTraceContext(message.trace());
  }
  return chunk;
}

pb::TransitionBatch EncodeTransitionBatch(const TransitionBatch& batch) {
  pb::TransitionBatch message;
  message.set_num_rows(static_cast<uint32_t>(batch.num_rows));
  EncodeColumn(batch.observations, message.mutable_observations());
  EncodeColumn(batch.actions, message.mutable_actions());
  EncodeColumn(batch.rewards, message.mutable_rewards());
  EncodeColumn(batch.next_observations, message.mutable_next_observations());
  EncodeColumn(batch.terminated, message.mutable_terminated());
  message.mutable_keys()->Assign(batch.keys.begin(), batch.keys.end());
  EncodeColumn(batch.probabilities, message.mutable_probabilities());
  return message;
}

absl::StatusOr<TransitionBatch> DecodeTransitionBatch(const pb::TransitionBatch& message,
                                                      int observation_size, int action_size) {
  const uint64_t rows = message.num_rows();
  if (rows > message.terminated().size()) {
    return absl::InvalidArgumentError(absl::StrCat("num_rows = ", rows, "; want at most the ",
                                                   message.terminated().size(), " termination flags"));
  }
  TransitionBatch batch;
  batch.num_rows = static_cast<int>(rows);
  batch.observation_size = observation_size;
  batch.action_size = action_size;
  const auto o = static_cast<uint64_t>(observation_size);
  const auto a = static_cast<uint64_t>(action_size);
  RETURN_IF_ERROR(DecodeColumn("observations", message.observations(), rows, o, &batch.observations));
  RETURN_IF_ERROR(DecodeColumn("actions", message.actions(), rows, a, &batch.actions));
  RETURN_IF_ERROR(DecodeColumn("rewards", message.rewards(), rows, 1, &batch.rewards));
  RETURN_IF_ERROR(
      DecodeColumn("next_observations", message.next_observations(), rows, o, &batch.next_observations));
  RETURN_IF_ERROR(DecodeColumn("terminated", message.terminated(), rows, 1, &batch.terminated));
  batch.keys.assign(message.keys().begin(), message.keys().end());
  if (!message.probabilities().empty()) {
    RETURN_IF_ERROR(DecodeColumn("probabilities", message.probabilities(), rows, 1, &batch.probabilities));
  }
  return batch;
}

}  // namespace demorl
