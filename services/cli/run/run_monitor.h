#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "common/concurrency/stop_token.h"
#include "grpcpp/channel.h"
#include "services/cli/run/progress_display.h"
#include "services/cli/run/run_folder.h"

namespace demorl {

// Channels by service name, as ServicesOf tells.
using ServiceChannels = std::map<std::string, std::shared_ptr<grpc::Channel>>;

// Follows an asynchronous run through the control, replay and evaluation services: writes progress, evaluates
// on schedule (a run with a robot has no evaluations), and notices the end. Does not care whether the
// services are threads or processes. One owner thread.
class RunMonitor {
 public:
  struct Options {
    RunFolder* folder = nullptr;
    ServiceChannels channels;
    // An unhealthy service ends the run; otherwise its supervisor is expected to restart it.
    bool stop_when_unhealthy = true;
    // Called at each look, for children that want tending; may be empty. Its error ends the run.
    std::function<absl::Status()> tend;
    // Called with each evaluation once it is recorded; may be empty.
    std::function<void(const EvaluationRow&)> on_evaluation;
    // CPU seconds by part, for the summary.
    std::function<std::vector<std::pair<std::string, double>>()> cpu_seconds;
  };

  explicit RunMonitor(Options options);
  ~RunMonitor();

  // Blocks until the run is complete (OK), `stop` is requested (CANCELLED), or a service cannot go on (its
  // reason). The summary is up to date in each case.
  absl::Status Run(StopToken stop);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace demorl
