// What of a table is kept on disk and in saved states.

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "common/base/status_macros.h"
#include "services/replay/core/table.h"

namespace demorl {
namespace {

constexpr uint8_t kMetaVersion = 1;

void EncodeEnvironment(const EnvironmentSpec& environment, ByteWriter* writer) {
  writer->PutString(environment.environment_id);
  writer->PutU32(static_cast<uint32_t>(environment.observation_size));
  writer->PutU32(static_cast<uint32_t>(environment.action_size));
  writer->PutU32(static_cast<uint32_t>(environment.command_minimum.size()));
  for (const double value : environment.command_minimum) {
    writer->PutDouble(value);
  }
  writer->PutU32(static_cast<uint32_t>(environment.command_maximum.size()));
  for (const double value : environment.command_maximum) {
    writer->PutDouble(value);
  }
  writer->PutU64(static_cast<uint64_t>(absl::ToInt64Nanoseconds(environment.control_period)));
  writer->PutU32(static_cast<uint32_t>(environment.max_episode_steps));
}

std::vector<double> DecodeDoubles(ByteReader* reader) {
  std::vector<double> values;
  for (uint32_t count = reader->GetU32(); count > 0 && reader->ok(); --count) {
    values.push_back(reader->GetDouble());
  }
  return values;
}

EnvironmentSpec DecodeEnvironment(ByteReader* reader) {
  EnvironmentSpec environment;
  environment.environment_id = reader->GetString();
  environment.observation_size = static_cast<int>(reader->GetU32());
  environment.action_size = static_cast<int>(reader->GetU32());
  environment.command_minimum = DecodeDoubles(reader);
  environment.command_maximum = DecodeDoubles(reader);
  environment.control_period = absl::Nanoseconds(static_cast<int64_t>(reader->GetU64()));
  environment.max_episode_steps = static_cast<int>(reader->GetU32());
  return environment;
}

}  // namespace

void Table::EncodeMeta(ByteWriter* writer) const {
  writer->PutU8(kMetaVersion);
  writer->PutString(options_.name);
  writer->PutU64(static_cast<uint64_t>(rows_inserted_));
  writer->PutU64(static_cast<uint64_t>(rows_sampled_));
  writer->PutU64(static_cast<uint64_t>(episodes_));
  writer->PutU64(latest_round_);
  writer->PutU64(first_key());
  writer->PutU64(static_cast<uint64_t>(limiter_.updates()));
  writer->PutU32(static_cast<uint32_t>(quarantined_.size()));
  for (const auto& [reason, count] : quarantined_) {
    writer->PutString(reason);
    writer->PutU64(static_cast<uint64_t>(count));
  }
  writer->PutString(selector_->SaveState());
  writer->PutU8(environment_.has_value() ? 1 : 0);
  if (environment_.has_value()) {
    EncodeEnvironment(*environment_, writer);
  }
}

absl::Status Table::DecodeMeta(ByteReader* reader) {
  const uint8_t version = reader->GetU8();
  const std::string name = reader->GetString();
  if (!reader->ok() || version != kMetaVersion || name != options_.name) {
    return absl::DataLossError(absl::StrCat("the record of table '", options_.name, "' is damaged: version ",
                                            static_cast<int>(version), ", name '", name, "'; want ",
                                            static_cast<int>(kMetaVersion)));
  }
  rows_inserted_ = static_cast<int64_t>(reader->GetU64());
  rows_sampled_ = static_cast<int64_t>(reader->GetU64());
  episodes_ = static_cast<int64_t>(reader->GetU64());
  latest_round_ = reader->GetU64();
  restore_from_key_ = reader->GetU64();
  limiter_.set_updates(static_cast<int64_t>(reader->GetU64()));
  quarantined_.clear();
  for (uint32_t count = reader->GetU32(); count > 0 && reader->ok(); --count) {
    const std::string reason = reader->GetString();
    quarantined_[reason] = static_cast<int64_t>(reader->GetU64());
  }
  const std::string selector_state = reader->GetString();
  environment_.reset();
  if (reader->GetU8() != 0) {
    environment_ = DecodeEnvironment(reader);
  }
  if (!reader->ok()) {
    return absl::DataLossError(absl::StrCat("the record of table '", options_.name, "' is cut short"));
  }
  return selector_->RestoreState(selector_state);
}

void Table::SaveState(ByteWriter* writer) const {
  EncodeMeta(writer);
  writer->PutU64(segments_.size());
  for (const HeldSegment& held : segments_) {
    writer->PutU64(held.first_key);
    writer->PutString(held.segment->Encode());
  }
}

absl::Status Table::RestoreState(ByteReader* reader) {
  segments_.clear();
  rows_.clear();
  first_ordinal_ = 0;
  segment_bytes_ = 0;
  RETURN_IF_ERROR(DecodeMeta(reader));
  for (uint64_t count = reader->GetU64(); count > 0 && reader->ok(); --count) {
    const uint64_t first_key = reader->GetU64();
    ASSIGN_OR_RETURN(SegmentPtr segment, PackedSegment::Decode(reader->GetString()));
    Restore(std::move(segment), first_key);
  }
  if (!reader->ok()) {
    return absl::DataLossError(absl::StrCat("the state of table '", options_.name, "' is cut short"));
  }
  return absl::OkStatus();
}

}  // namespace demorl
