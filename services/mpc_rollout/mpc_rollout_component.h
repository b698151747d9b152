#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "common/rpc/service_component.h"
#include "common/rpc/service_context.h"

namespace demorl {

// The planner as a process hosts it: fills D_MPC and answers Plan. INVALID_ARGUMENT for contradictory
// settings of config.planner; FAILED_PRECONDITION without channels to replay and snapshot.
absl::StatusOr<std::unique_ptr<ServiceComponent>> MakeMpcRolloutComponent(const ServiceContext& context);

}  // namespace demorl
