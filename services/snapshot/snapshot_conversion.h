#pragma once

#include "absl/status/statusor.h"
#include "demorl/snapshot/v1/snapshot_service.pb.h"
#include "services/snapshot/core/snapshot_record.h"

namespace demorl {

// Between the wire and the core. INVALID_ARGUMENT for a kind that is not specified or not known.
absl::StatusOr<SnapshotKind> KindFromProto(demorl::snapshot::v1::SnapshotKind kind);
demorl::snapshot::v1::SnapshotKind KindToProto(SnapshotKind kind);

absl::StatusOr<SnapshotInfo> InfoFromProto(const demorl::snapshot::v1::SnapshotMetadata& metadata);
demorl::snapshot::v1::SnapshotMetadata InfoToProto(const SnapshotInfo& info);

}  // namespace demorl
