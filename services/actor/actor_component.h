#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "common/rpc/service_component.h"
#include "common/rpc/service_context.h"
#include "services/actor/core/environment_factory.h"

namespace demorl {

// Collects episodes of context.config.environment into replay's table `env` and answers Evaluate. Needs the
// channels to replay and snapshot. NOT_FOUND for an unknown environment.
absl::StatusOr<std::unique_ptr<ServiceComponent>> MakeActorComponent(const ServiceContext& context);

// The same on environments of the caller's making.
absl::StatusOr<std::unique_ptr<ServiceComponent>> MakeActorComponentOn(const ServiceContext& context,
                                                                       const EnvironmentFactory& factory);

}  // namespace demorl
