#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/metrics/metrics.h"
#include "common/rpc/data_dir.h"
#include "common/rpc/security/access_control.h"
#include "common/rpc/service_component.h"
#include "common/tracing/trace_log.h"
#include "demorl/config/v1/run.pb.h"
#include "grpcpp/channel.h"

namespace demorl {

// What a process gives to the component it hosts. Channels of services that the component does not use may be
// null.
struct ServiceContext {
  // Complete (defaults filled) and validated; run_id is set.
  demorl::config::v1::RunConfig config;
  std::string config_hash;
  // This component's folder for durable state, made beforehand; empty for none (in memory).
  std::string data_dir;
  // Grows with each start of this component in its data_dir, from 1: the writer epoch.
  uint64_t start_count = 1;
  std::shared_ptr<grpc::Channel> replay;
  std::shared_ptr<grpc::Channel> snapshot;
  std::shared_ptr<grpc::Channel> mpc_rollout;
  // Outlives the component.
  Metrics* metrics = nullptr;
  // For handlers that may refuse what the caller's role must not touch; null where nobody is asked who they
  // are.
  std::shared_ptr<AccessControl> access;
  // Outlives the component; null unless the run is traced.
  TraceLog* trace_log = nullptr;
};

using ComponentFactory =
    std::function<absl::StatusOr<std::unique_ptr<ServiceComponent>>(const ServiceContext& context)>;

// A context together with what must live as long as the component: the hold on its folder, and its traces.
struct HostedContext {
  ServiceContext context;
  std::unique_ptr<TraceLog> trace_log;
  // Null without a folder.
  std::unique_ptr<DataDir> data_dir;
};

// Prepares what a component needs of its process: opens `data_dir` (none when empty), counts the start, opens
// the trace log if the run is traced, and hashes the configuration, which is complete. For main functions and
// for a process that hosts several components.
absl::StatusOr<HostedContext> MakeHostedContext(const demorl::config::v1::RunConfig& config,
                                                const std::string& service, const std::string& data_dir,
                                                Metrics* metrics, std::shared_ptr<grpc::Channel> replay,
                                                std::shared_ptr<grpc::Channel> snapshot,
                                                std::shared_ptr<grpc::Channel> mpc_rollout = nullptr);

// Hash over all that shapes the result of a run: run_id, security, tracing, and the addresses and folders of
// services do not count.
std::string RunConfigHash(const demorl::config::v1::RunConfig& config);

// The main function of a service: flags --config, --override (repeatable) and --port; loads the RunConfig,
// logs its text, hash and revision, connects to the services that config.services names, hosts the component
// until it is told to stop. `server` picks this service's ServerConfig out of config.services. Returns main's
// exit status. With --check-health it hosts nothing and asks another process how it is.
int ServiceMain(int argc, char** argv, const std::string& name, const ComponentFactory& factory);

}  // namespace demorl
