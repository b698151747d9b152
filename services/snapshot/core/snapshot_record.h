#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/base/trace_context.h"

namespace demorl {

enum class SnapshotKind { kPolicy, kValue, kDynamics };

inline constexpr SnapshotKind kAllSnapshotKinds[] = {SnapshotKind::kPolicy, SnapshotKind::kValue,
                                                     SnapshotKind::kDynamics};

// "policy", "value", "dynamics": folder names and metric labels.
absl::string_view SnapshotKindName(SnapshotKind kind);

// What a version was made from.
struct SnapshotLineage {
  uint64_t learner_step = 0;
  uint64_t environment_rows = 0;
  uint64_t dynamics_version = 0;
  std::string config_hash;
  uint64_t parent_version = 0;

  bool operator==(const SnapshotLineage&) const = default;
};

// All that is known about a version but its payload.
struct SnapshotInfo {
  SnapshotKind kind = SnapshotKind::kPolicy;
  // Monotone per kind, from 1; set by the store.
  uint64_t version = 0;
  std::string run_id;
  std::map<std::string, std::string> architecture;
  uint32_t observation_size = 0;
  uint32_t action_size = 0;
  std::string schema_hash;
  SnapshotLineage lineage;
  uint32_t payload_crc32c = 0;
  uint64_t payload_bytes = 0;
  // Wall-clock label, microseconds since 1970; set by the store.
  int64_t create_time_us = 0;
  std::optional<double> evaluation_return;
  // Of what it was learned from; not kept on disk, since nobody applies a version for the first time after a
  // restart.
  std::vector<TraceContext> traces = {};

  bool operator==(const SnapshotInfo&) const = default;
};

// A version with its payload; shared and immutable once stored.
struct StoredSnapshot {
  SnapshotInfo info;
  std::string payload;
};

// The metadata file: JSON with a CRC32C of itself. Decoding accepts exactly what encoding writes, so that
// every changed byte is found. DATA_LOSS.
std::string EncodeSnapshotInfo(const SnapshotInfo& info);
absl::StatusOr<SnapshotInfo> DecodeSnapshotInfo(absl::string_view text);

// DATA_LOSS unless size and CRC32C of the payload are as the info says.
absl::Status CheckPayload(const SnapshotInfo& info, absl::string_view payload);

}  // namespace demorl
