#pragma once

#include <memory>

#include "spdlog/formatter.h"

namespace demorl {

// Lines of a service's log: time, level, service, message. Much of a message is what others have sent:
// control characters are written as "\x1b", the lines of a longer message after the first are indented, so
// that none passes for a line of its own, and what is beyond 32 KiB is left out.
std::unique_ptr<spdlog::formatter> MakeLogFormatter();

}  // namespace demorl
