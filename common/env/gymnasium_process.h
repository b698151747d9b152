#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/tensor/environment_spec.h"

namespace demorl {

// Environments that are not native live in a Python process: `python -m demorl.actor` of tools/python.

// How to start it: for execve.
struct GymnasiumCommand {
  std::vector<std::string> arguments;
  // All of this process's variables, and those that the package needs.
  std::vector<std::string> environment;
};

// The actor with further arguments, for example {"--environment", id, "--replay", address, ...}. The
// interpreter is $DEMORL_PYTHON, or the one of the virtual environment in the cache folder
// ($DEMORL_CACHE_DIR, $XDG_CACHE_HOME/demorl or ~/.cache/demorl); the package is in $DEMORL_PYTHON_PACKAGE,
// or in ../share/demorl/python beside the folder of the running executable. NOT_FOUND with what is missing.
absl::StatusOr<GymnasiumCommand> MakeGymnasiumCommand(const std::vector<std::string>& arguments);

// Asks Gymnasium for the sizes of an environment; takes about a second. NOT_FOUND: no such id, with the
// nearest known ones, or no Python. INVALID_ARGUMENT: spaces that are not supported, with the reason.
// DEADLINE_EXCEEDED.
absl::StatusOr<EnvironmentSpec> DescribeGymnasiumEnvironment(absl::string_view environment_id,
                                                             absl::Duration timeout = absl::Seconds(60));

}  // namespace demorl
