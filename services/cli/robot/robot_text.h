#pragma once

#include <string>

#include "demorl/gateway/v1/gateway_service.pb.h"

namespace demorl {

// "armed", "hold", ...
std::string StateName(demorl::gateway::v1::RobotState state);

// A robot's state on one line, and as a table with its joints.
std::string StateLine(const demorl::gateway::v1::WatchStateResponse& state);
std::string StateTable(const demorl::gateway::v1::WatchStateResponse& state);

}  // namespace demorl
