#pragma once

#include "absl/status/statusor.h"
#include "common/env/gymnasium_process.h"
#include "demorl/config/v1/run.pb.h"

namespace demorl {

// The command of a Python actor for config.environment, serving on config.services.actor.address and
// connected to the addresses of replay and snapshot. Errors as MakeGymnasiumCommand.
absl::StatusOr<GymnasiumCommand> MakePythonActorCommand(const demorl::config::v1::RunConfig& config);

}  // namespace demorl
