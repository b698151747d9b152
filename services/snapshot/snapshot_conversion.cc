#include "services/snapshot/snapshot_conversion.h"

#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/tensor/trace_codec.h"
#include "common/tracing/trace_log.h"
#include "google/protobuf/util/time_util.h"

namespace demorl {

namespace proto = ::demorl::snapshot::v1;
using ::google::protobuf::util::TimeUtil;

absl::StatusOr<SnapshotKind> KindFromProto(proto::SnapshotKind kind) {
  switch (kind) {
    case proto::SNAPSHOT_KIND_POLICY:
      return SnapshotKind::kPolicy;
    case proto::SNAPSHOT_KIND_VALUE:
      return SnapshotKind::kValue;
    case proto::SNAPSHOT_KIND_DYNAMICS:
      return SnapshotKind::kDynamics;
    default:
      return absl::InvalidArgumentError(absl::StrCat("kind is ", static_cast<int>(kind),
                                                     ", allowed are policy (1), value (2), dynamics (3)"));
  }
}

proto::SnapshotKind KindToProto(SnapshotKind kind) {
  switch (kind) {
    case SnapshotKind::kPolicy:
      return proto::SNAPSHOT_KIND_POLICY;
    case SnapshotKind::kValue:
      return proto::SNAPSHOT_KIND_VALUE;
    case SnapshotKind::kDynamics:
      return proto::SNAPSHOT_KIND_DYNAMICS;
  }
  return proto::SNAPSHOT_KIND_UNSPECIFIED;
}

absl::StatusOr<SnapshotInfo> InfoFromProto(const proto::SnapshotMetadata& metadata) {
  SnapshotInfo info;
  ASSIGN_OR_RETURN(info.kind, KindFromProto(metadata.kind()));
  info.version = metadata.version();
  info.run_id = metadata.run_id();
  info.architecture.insert(metadata.architecture().begin(), metadata.architecture().end());
  info.observation_size = metadata.observation_size();
  info.action_size = metadata.action_size();
  info.schema_hash = metadata.schema_hash();
  info.lineage = {.learner_step = metadata.lineage().learner_step(),
                  .environment_rows = metadata.lineage().environment_rows(),
                  .dynamics_version = metadata.lineage().dynamics_version(),
                  .config_hash = metadata.lineage().config_hash(),
                  .parent_version = metadata.lineage().parent_version()};
  info.payload_crc32c = metadata.payload_crc32c();
  info.payload_bytes = metadata.payload_bytes();
  info.create_time_us = TimeUtil::TimestampToMicroseconds(metadata.create_time());
  if (metadata.has_evaluation_return()) {
    info.evaluation_return = metadata.evaluation_return();
  }
  info.traces = DecodeTraceContexts(metadata.traces());
  info.traces.resize(std::min(info.traces.size(), kMaxWaitingTraces));
  return info;
}

proto::SnapshotMetadata InfoToProto(const SnapshotInfo& info) {
  proto::SnapshotMetadata metadata;
  metadata.set_kind(KindToProto(info.kind));
  metadata.set_version(info.version);
  metadata.set_run_id(info.run_id);
  metadata.mutable_architecture()->insert(info.architecture.begin(), info.architecture.end());
  metadata.set_observation_size(info.observation_size);
  metadata.set_action_size(info.action_size);
  metadata.set_schema_hash(info.schema_hash);
  proto::Lineage& lineage = *metadata.mutable_lineage();
  lineage.set_learner_step(info.lineage.learner_step);
  lineage.set_environment_rows(info.lineage.environment_rows);
  lineage.set_dynamics_version(info.lineage.dynamics_version);
  lineage.set_config_hash(info.lineage.config_hash);
  lineage.set_parent_version(info.lineage.parent_version);
  metadata.set_payload_crc32c(info.payload_crc32c);
  metadata.set_payload_bytes(info.payload_bytes);
  *metadata.mutable_create_time() = TimeUtil::MicrosecondsToTimestamp(info.create_time_us);
  if (info.evaluation_return.has_value()) {
    metadata.set_evaluation_return(*info.evaluation_return);
  }
  EncodeTraceContexts(info.traces, metadata.mutable_traces());
  return metadata;
}

}  // namespace demorl
