#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "common/rpc/service_component.h"
#include "common/rpc/service_context.h"

namespace demorl {

// Hosts the tables of context.config.replay, in context.data_dir or in memory where that is empty.
// INVALID_ARGUMENT for tables and limits that cannot work; what the store says if it cannot be opened.
absl::StatusOr<std::unique_ptr<ServiceComponent>> MakeReplayComponent(const ServiceContext& context);

}  // namespace demorl
