#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "common/rpc/service_component.h"
#include "common/rpc/service_context.h"

namespace demorl {

// The model trainer as a process hosts it. It serves no rpc of its own: it mirrors D_ENV from replay and
// writes dynamics to the snapshot store. INVALID_ARGUMENT or DATA_LOSS for a configuration or checkpoints it
// cannot start from.
absl::StatusOr<std::unique_ptr<ServiceComponent>> MakeModelTrainerComponent(const ServiceContext& context);

}  // namespace demorl
