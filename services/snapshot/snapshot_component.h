#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "common/rpc/service_component.h"
#include "common/rpc/service_context.h"

namespace demorl {

// The snapshot service as a process hosts it: store and RPC skin. Uses run_id and the section `snapshot` of
// the configuration; keeps everything in memory without a data folder.
absl::StatusOr<std::unique_ptr<ServiceComponent>> MakeSnapshotComponent(const ServiceContext& context);

}  // namespace demorl
