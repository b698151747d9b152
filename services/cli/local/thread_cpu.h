#pragma once

#include <string>
#include <utility>
#include <vector>

namespace demorl {

// CPU seconds of this process by thread name, most first: where the time of a run in one process goes.
// Threads that have ended count as "ended".
std::vector<std::pair<std::string, double>> ThreadCpuSeconds();

}  // namespace demorl
