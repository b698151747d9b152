#pragma once

#include <string>
#include <vector>

#include "demorl/config/v1/run.pb.h"

namespace demorl {

// The services of a run in the order in which they start; they stop in the reverse order, so that data never
// flows into a service that is gone.
std::vector<std::string> ServicesOf(const demorl::config::v1::RunConfig& config);

// The gateway of a run with a robot, instead of an actor.
std::string GatewayOf(const demorl::config::v1::RunConfig& config);

// The service that brings transitions: an actor, or the robot's gateway.
std::string CollectorOf(const demorl::config::v1::RunConfig& config);

// The part of config.services that belongs to a service; made if missing.
demorl::config::v1::ServerConfig* MutableServerConfig(const std::string& service,
                                                      demorl::config::v1::RunConfig* config);

// Folder of a service's durable state within a run folder: "replay", "snapshots", ...
std::string ServiceFolder(const std::string& service);

// Written into the run folder while its services run: the configuration with their addresses.
inline constexpr char kServicesFile[] = "services.textproto";

}  // namespace demorl
