#pragma once

#include <filesystem>
#include <memory>

#include "absl/status/statusor.h"
#include "services/replay/core/kv_store.h"

namespace demorl {

// A store in <folder>/store; copies go to <folder>/checkpoints/<number> and share their files by hard links.
// `folder` exists. DATA_LOSS: damaged; RESOURCE_EXHAUSTED, PERMISSION_DENIED and so on from the system.
absl::StatusOr<std::unique_ptr<KvStore>> OpenRocksDbStore(const std::filesystem::path& folder);

}  // namespace demorl
