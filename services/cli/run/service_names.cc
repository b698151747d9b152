#include "services/cli/run/service_names.h"

#include "common/base/check.h"
#include "common/config/run_modes.h"

namespace demorl {

using ::demorl::config::v1::RunConfig;
using ::demorl::config::v1::ServerConfig;

std::string GatewayOf(const RunConfig& config) {
  return config.services().has_stochlite_gateway() ? "stochlite_gateway" : "leg_gateway";
}

std::string CollectorOf(const RunConfig& config) { return config.has_robot() ? GatewayOf(config) : "actor"; }

std::vector<std::string> ServicesOf(const RunConfig& config) {
  std::vector<std::string> services = {"replay", "snapshot"};
  if (LearnsPolicy(config)) {
    services.emplace_back("sac_learner");
  }
  if (TrainsModel(config)) {
    services.emplace_back("model_trainer");
  }
  if (config.model_based()) {
    services.emplace_back("mpc_rollout");
  }
  services.push_back(CollectorOf(config));
  return services;
}

ServerConfig* MutableServerConfig(const std::string& service, RunConfig* config) {
  auto* services = config->mutable_services();
  if (service == "replay") return services->mutable_replay();
  if (service == "snapshot") return services->mutable_snapshot();
  if (service == "model_trainer") return services->mutable_model_trainer();
  if (service == "mpc_rollout") return services->mutable_mpc_rollout();
  if (service == "sac_learner") return services->mutable_sac_learner();
  if (service == "leg_gateway") return services->mutable_leg_gateway();
  if (service == "stochlite_gateway") return services->mutable_stochlite_gateway();
  DEMORL_CHECK_MSG(service == "actor", service);
  return services->mutable_actor();
}

std::string ServiceFolder(const std::string& service) {
  return service == "snapshot" ? "snapshots" : service;
}

}  // namespace demorl
