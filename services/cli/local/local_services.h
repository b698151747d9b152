#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/metrics/metrics.h"
#include "common/rpc/server_runner.h"
#include "common/rpc/service_context.h"
#include "services/cli/run/run_folder.h"
#include "services/cli/run/run_monitor.h"
#include "services/cli/up/supervisor.h"

namespace demorl {

// All services of a run in this process, each with its own server on a loopback port (for `demorl status` and
// a Python actor) and connected to each other by in-process channels. Thread-compatible.
class LocalServices {
 public:
  // Starts the services in their order; state is under the run folder.
  static absl::StatusOr<std::unique_ptr<LocalServices>> Start(const RunFolder& folder);
  // Drains, if Drain was not called.
  ~LocalServices();

  const ServiceChannels& channels() const { return channels_; }

  // Restarts the Python actor, if there is one and it has ended; see Supervisor.
  absl::Status Tend();

  // Stops in reverse order: everything accepted is finished and saved. The first error, with the service's
  // name.
  absl::Status Drain();

 private:
  struct Hosted {
    std::string name;
    HostedContext context;
    std::unique_ptr<ServiceComponent> component;
    std::unique_ptr<ServerRunner> runner;
  };

  LocalServices() : metrics_(MakeLocalMetrics()) {}
  absl::Status StartService(const std::string& service, demorl::config::v1::RunConfig* config);
  absl::Status StartPythonActor(demorl::config::v1::RunConfig* config);

  std::unique_ptr<Metrics> metrics_;
  std::unique_ptr<TransportSecurity> security_;
  // Null for a native task.
  std::unique_ptr<Supervisor> python_actor_;
  std::vector<std::unique_ptr<Hosted>> hosted_;
  ServiceChannels channels_;
  std::filesystem::path folder_;
};

}  // namespace demorl
