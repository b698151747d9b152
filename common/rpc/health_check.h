#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace demorl {

// Asks the plain-text health service at `address` ("host:port") how `service` is, waiting for at most
// `timeout`: OK when it serves, FAILED_PRECONDITION when it does not. What a container without a shell checks
// itself by.
absl::Status CheckHealth(const std::string& address, const std::string& service, absl::Duration timeout);

}  // namespace demorl
