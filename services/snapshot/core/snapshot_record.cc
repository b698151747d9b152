#include "services/snapshot/core/snapshot_record.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/base/crc32c.h"
#include "nlohmann/json.hpp"

namespace demorl {
namespace {

using Json = nlohmann::json;

constexpr char kCrcKey[] = "metadata_crc32c";

Json ToJson(const SnapshotInfo& info) {
  Json json = {
      {"kind", std::string(SnapshotKindName(info.kind))},
      {"version", info.version},
      {"run_id", info.run_id},
      {"architecture", info.architecture},
      {"observation_size", info.observation_size},
      {"action_size", info.action_size},
      {"schema_hash", info.schema_hash},
      {"lineage",
       {{"learner_step", info.lineage.learner_step},
        {"environment_rows", info.lineage.environment_rows},
        {"dynamics_version", info.lineage.dynamics_version},
        {"config_hash", info.lineage.config_hash},
        {"parent_version", info.lineage.parent_version}}},
      {"payload_crc32c", info.payload_crc32c},
      {"payload_bytes", info.payload_bytes},
      {"create_time_us", info.create_time_us},
  };
  if (info.evaluation_return.has_value()) {
    json["evaluation_return"] = *info.evaluation_return;
  }
  return json;
}

SnapshotKind KindFromName(const std::string& name) {
  for (const SnapshotKind kind : kAllSnapshotKinds) {
    if (name == std::string(SnapshotKindName(kind))) {
      return kind;
    }
  }
  throw Json::other_error::create(0, "unknown kind " + name, nullptr);
}

// Throws nlohmann's exceptions on missing keys and other types.
SnapshotInfo FromJson(const Json& json) {
  SnapshotInfo info;
  info.kind = KindFromName(json.at("kind").get<std::string>());
  json.at("version").get_to(info.version);
  json.at("run_id").get_to(info.run_id);
  json.at("architecture").get_to(info.architecture);
  json.at("observation_size").get_to(info.observation_size);
  json.at("action_size").get_to(info.action_size);
  json.at("schema_hash").get_to(info.schema_hash);
  const Json& lineage = json.at("lineage");
  lineage.at("learner_step").get_to(info.lineage.learner_step);
  lineage.at("environment_rows").get_to(info.lineage.environment_rows);
  lineage.at("dynamics_version").get_to(info.lineage.dynamics_version);
  lineage.at("config_hash").get_to(info.lineage.config_hash);
  lineage.at("parent_version").get_to(info.lineage.parent_version);
  json.at("payload_crc32c").get_to(info.payload_crc32c);
  json.at("payload_bytes").get_to(info.payload_bytes);
  json.at("create_time_us").get_to(info.create_time_us);
  if (json.contains("evaluation_return")) {
    info.evaluation_return = json.at("evaluation_return").get<double>();
  }
  return info;
}

}  // namespace

absl::string_view SnapshotKindName(SnapshotKind kind) {
  switch (kind) {
    case SnapshotKind::kPolicy:
      return "policy";
    case SnapshotKind::kValue:
      return "value";
    case SnapshotKind::kDynamics:
      return "dynamics";
  }
  return "unknown";
}

std::string EncodeSnapshotInfo(const SnapshotInfo& info) {
  // A string that is not UTF-8 would make dump throw; it is kept readable instead.
  const auto dump = [](const Json& json) { return json.dump(2, ' ', true, Json::error_handler_t::replace); };
  Json json = ToJson(info);
  json[kCrcKey] = Crc32c(dump(json));
  return dump(json) + "\n";
}

absl::StatusOr<SnapshotInfo> DecodeSnapshotInfo(absl::string_view text) {
  try {
    const SnapshotInfo info = FromJson(Json::parse(text.begin(), text.end()));
    if (EncodeSnapshotInfo(info) == text) {
      return info;
    }
    return absl::DataLossError("the checksum of the metadata differs");
  } catch (const Json::exception& error) {
    return absl::DataLossError(absl::StrCat("the metadata cannot be read: ", error.what()));
  }
}

absl::Status CheckPayload(const SnapshotInfo& info, absl::string_view payload) {
  if (payload.size() != info.payload_bytes) {
    return absl::DataLossError(
        absl::StrCat("the payload has ", payload.size(), " bytes, its metadata says ", info.payload_bytes));
  }
  if (const uint32_t found = Crc32c(payload); found != info.payload_crc32c) {
    return absl::DataLossError(
        absl::StrFormat("the payload's CRC32C is %08x, its metadata says %08x", found, info.payload_crc32c));
  }
  return absl::OkStatus();
}

}  // namespace demorl
