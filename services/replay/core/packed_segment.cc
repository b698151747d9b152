#include "services/replay/core/packed_segment.h"

#include <algorithm>

#include "common/base/check.h"
#include "common/base/crc32c.h"
#include "common/tensor/transition_chunk.h"
#include "services/replay/core/byte_codec.h"

namespace demorl {
namespace {

constexpr uint8_t kRecordVersion = 1;
constexpr uint32_t kMaxVectorSize = 1 << 20;

template <typename T>
std::vector<T> SliceOf(const std::vector<T>& values, size_t begin, size_t count) {
  return std::vector<T>(values.begin() + static_cast<ptrdiff_t>(begin),
                        values.begin() + static_cast<ptrdiff_t>(begin + count));
}

std::vector<uint64_t> Shortened(const std::vector<uint64_t>& versions) {
  const bool all_equal = std::all_of(versions.begin(), versions.end(),
                                     [&](uint64_t version) { return version == versions.front(); });
  return all_equal ? std::vector<uint64_t>{versions.front()} : versions;
}

}  // namespace

PackedSegment::PackedSegment(const Segment& segment, int observation_size, int action_size,
                             const SegmentOrigin& origin)
    : num_steps_(segment.num_steps),
      observation_size_(observation_size),
      action_size_(action_size),
      episode_id_(segment.episode_id),
      first_step_(segment.first_step),
      terminated_(segment.terminated),
      truncated_(segment.truncated),
      planned_(segment.provenance.has_value()),
      intervened_(segment.intervened),
      origin_(origin),
      policy_versions_(Shortened(segment.policy_versions)) {
  size_t size = segment.observations.size() + segment.actions.size() + segment.rewards.size();
  if (planned_) {
    horizon_steps_ = segment.provenance->horizon_steps;
    dynamics_version_ = segment.provenance->dynamics_version;
    planning_round_ = segment.provenance->planning_round;
    size += segment.provenance->disagreement.size();
  }
  values_.reserve(size);
  values_.insert(values_.end(), segment.observations.begin(), segment.observations.end());
  values_.insert(values_.end(), segment.actions.begin(), segment.actions.end());
  values_.insert(values_.end(), segment.rewards.begin(), segment.rewards.end());
  DEMORL_CHECK(values_.size() == disagreement_offset());
  if (planned_) {
    values_.insert(values_.end(), segment.provenance->disagreement.begin(),
                   segment.provenance->disagreement.end());
  }
}

std::span<const float> PackedSegment::observation(int step) const {
  return {values_.data() + static_cast<size_t>(step) * observation_size_,
          static_cast<size_t>(observation_size_)};
}

std::span<const float> PackedSegment::action(int step) const {
  return {values_.data() + actions_offset() + static_cast<size_t>(step) * action_size_,
          static_cast<size_t>(action_size_)};
}

size_t PackedSegment::memory_bytes() const {
  return sizeof(*this) + values_.capacity() * sizeof(float) + policy_versions_.capacity() * sizeof(uint64_t);
}

Segment PackedSegment::Slice(int begin, int end) const {
  const auto first = static_cast<size_t>(begin);
  const auto count = static_cast<size_t>(end - begin);
  const auto o = static_cast<size_t>(observation_size_);
  const auto a = static_cast<size_t>(action_size_);
  const bool last = end == num_steps_;
  Segment segment{.episode_id = episode_id_,
                  .first_step = first_step_ + begin,
                  .num_steps = end - begin,
                  .observations = SliceOf(values_, first * o, (count + 1) * o),
                  .actions = SliceOf(values_, actions_offset() + first * a, count * a),
                  .rewards = SliceOf(values_, rewards_offset() + first, count),
                  .terminated = terminated_ && last,
                  .truncated = truncated_ && last,
                  .intervened = intervened_};
  segment.policy_versions = policy_versions_.size() == 1
                                ? std::vector<uint64_t>(count, policy_versions_.front())
                                : SliceOf(policy_versions_, first, count);
  if (planned_) {
    segment.provenance = PlannedProvenance{.dynamics_version = dynamics_version_,
                                           .horizon_steps = horizon_steps_,
                                           .planning_round = planning_round_};
    if (has_disagreement()) {
      segment.provenance->disagreement = SliceOf(values_, disagreement_offset() + first, count);
    }
  }
  return segment;
}

std::string PackedSegment::Encode() const {
  ByteWriter writer;
  writer.PutU8(kRecordVersion);
  writer.PutU32(static_cast<uint32_t>(num_steps_));
  writer.PutU32(static_cast<uint32_t>(observation_size_));
  writer.PutU32(static_cast<uint32_t>(action_size_));
  writer.PutU64(episode_id_);
  writer.PutU32(static_cast<uint32_t>(first_step_));
  writer.PutU8(static_cast<uint8_t>((terminated_ ? 1 : 0) | (truncated_ ? 2 : 0) | (planned_ ? 4 : 0) |
                                    (intervened_ ? 8 : 0)));
  writer.PutU32(static_cast<uint32_t>(horizon_steps_));
  writer.PutU64(dynamics_version_);
  writer.PutU64(planning_round_);
  writer.PutU32(origin_.writer_index);
  writer.PutU64(origin_.writer_epoch);
  writer.PutU64(static_cast<uint64_t>(origin_.environment_rows));
  writer.PutFloats(values_);
  writer.PutU64s(policy_versions_);
  writer.PutU32(Crc32c(writer.bytes()));
  return writer.Take();
}

absl::StatusOr<SegmentPtr> PackedSegment::Decode(absl::string_view record) {
  const absl::Status damaged = absl::DataLossError("the record of a segment is damaged");
  if (record.size() < sizeof(uint32_t)) {
    return damaged;
  }
  const absl::string_view body = record.substr(0, record.size() - sizeof(uint32_t));
  if (ByteReader(record.substr(body.size())).GetU32() != Crc32c(body)) {
    return damaged;
  }
  ByteReader reader(body);
  const uint8_t version = reader.GetU8();
  const uint64_t n = reader.GetU32(), o = reader.GetU32(), a = reader.GetU32();
  Segment segment;
  segment.num_steps = static_cast<int>(n);
  segment.episode_id = reader.GetU64();
  segment.first_step = static_cast<int>(reader.GetU32());
  const uint8_t flags = reader.GetU8();
  segment.terminated = flags & 1;
  segment.truncated = flags & 2;
  segment.intervened = flags & 8;
  PlannedProvenance provenance;
  provenance.horizon_steps = static_cast<int>(reader.GetU32());
  provenance.dynamics_version = reader.GetU64();
  provenance.planning_round = reader.GetU64();
  SegmentOrigin origin;
  origin.writer_index = reader.GetU32();
  origin.writer_epoch = reader.GetU64();
  origin.environment_rows = static_cast<int64_t>(reader.GetU64());
  const std::vector<float> values = reader.GetFloats();
  const std::vector<uint64_t> versions = reader.GetU64s();
  const uint64_t steps = (n + 1) * o + n * a + n;
  if (!reader.done() || version != kRecordVersion || n == 0 || n > values.size() || o > kMaxVectorSize ||
      a > kMaxVectorSize || (values.size() != steps && values.size() != steps + n) ||
      (versions.size() != 1 && versions.size() != n)) {
    return damaged;
  }
  segment.observations = SliceOf(values, 0, (n + 1) * o);
  segment.actions = SliceOf(values, (n + 1) * o, n * a);
  segment.rewards = SliceOf(values, (n + 1) * o + n * a, n);
  segment.policy_versions = versions.size() == n ? versions : std::vector<uint64_t>(n, versions.front());
  provenance.disagreement = SliceOf(values, steps, values.size() - steps);
  if (flags & 4) {
    segment.provenance = std::move(provenance);
  }
  return std::make_shared<const PackedSegment>(segment, static_cast<int>(o), static_cast<int>(a), origin);
}

}  // namespace demorl
