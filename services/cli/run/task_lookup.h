#pragma once

#include <string>

#include "absl/status/status.h"

namespace demorl {

// OK for a native environment id, and for an id that the installed Gymnasium knows. NOT_FOUND with the
// nearest known ids of both otherwise.
absl::Status CheckTaskExists(const std::string& environment_id);

// Whether the id is simulated by our own environments; others run in the Python actor.
bool IsNativeTask(const std::string& environment_id);

}  // namespace demorl
