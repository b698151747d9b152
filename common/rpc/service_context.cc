#include "common/rpc/service_context.h"

#include <utility>

#include "common/base/status_macros.h"
#include "common/config/loader.h"
#include "common/rpc/revision.h"

namespace demorl {

std::string RunConfigHash(const demorl::config::v1::RunConfig& config) {
  demorl::config::v1::RunConfig relevant = config;
  relevant.clear_run_id();
  relevant.clear_services();
  relevant.clear_security();
  relevant.clear_tracing();
  return ConfigHash(relevant);
}

absl::StatusOr<HostedContext> MakeHostedContext(const demorl::config::v1::RunConfig& config,
                                                const std::string& service, const std::string& data_dir,
                                                Metrics* metrics, std::shared_ptr<grpc::Channel> replay,
                                                std::shared_ptr<grpc::Channel> snapshot,
                                                std::shared_ptr<grpc::Channel> mpc_rollout) {
  HostedContext hosted;
  if (!data_dir.empty()) {
    ASSIGN_OR_RETURN(hosted.data_dir, DataDir::Open(data_dir));
    hosted.context.start_count = hosted.data_dir->start_count();
  }
  if (!config.tracing().directory().empty()) {
    ASSIGN_OR_RETURN(hosted.trace_log, TraceLog::Open({.directory = config.tracing().directory(),
                                                       .sample_ratio = config.tracing().sample_ratio(),
                                                       .max_file_bytes = config.tracing().max_file_bytes(),
                                                       .service = service,
                                                       .run_id = config.run_id(),
                                                       .revision = Revision()},
                                                      metrics));
  }
  hosted.context.trace_log = hosted.trace_log.get();
  hosted.context.config = config;
  hosted.context.config_hash = RunConfigHash(config);
  hosted.context.data_dir = data_dir;
  hosted.context.replay = std::move(replay);
  hosted.context.snapshot = std::move(snapshot);
  hosted.context.mpc_rollout = std::move(mpc_rollout);
  hosted.context.metrics = metrics;
  return hosted;
}

}  // namespace demorl
