#include "services/robot_gateway/gateway_recording.h"

#include <filesystem>
#include <utility>

#include "common/base/status_macros.h"
#include "services/robot_gateway/core/robot_setup.h"
#include "spdlog/spdlog.h"

namespace demorl {
namespace {

// Of an episode's id: the count of episodes, below the count of starts.
constexpr int kEpisodeCounterBits = 40;

TickLogHeader HeaderOf(const GatewayRecording::Options& options) {
  const EnvironmentSpec& spec = options.environment;
  return {.robot_name = options.setup.name(),
          .schema_hash = spec.SchemaHash(),
          .num_joints = options.setup.joints_size(),
          .observation_size = spec.observation_size,
          .action_size = spec.action_size,
          .control_period = spec.control_period,
          .acts_by_mean = options.setup.acts_by_mean(),
          .limits = LimitsOf(options.setup),
          .start_time = absl::Now()};
}

absl::StatusOr<std::unique_ptr<TickLog>> OpenTickLog(const GatewayRecording::Options& options) {
  TickLog::Options log{.folder = std::filesystem::path(options.data_dir) / "ticks",
                       .start_count = options.start_count,
                       .header = HeaderOf(options)};
  const double num_ticks = absl::FDivDuration(absl::Seconds(options.setup.recording().tick_log_s()),
                                              options.environment.control_period);
  log.max_bytes = static_cast<int64_t>(num_ticks * static_cast<double>(TickPacker(log.header).slot_bytes()));
  ASSIGN_OR_RETURN(std::unique_ptr<TickLog> opened, TickLog::Create(log));
  spdlog::info("every tick goes to {} ({} ticks, {} MiB)", opened->path().string(), opened->capacity(),
               log.max_bytes >> 20);
  return opened;
}

SegmentBuilder::Options SegmentsOf(const GatewayRecording::Options& options) {
  return {.observation_size = options.environment.observation_size,
          .action_size = options.environment.action_size,
          .max_segment_steps = options.setup.recording().chunk_steps(),
          .first_episode_id = options.start_count << kEpisodeCounterBits};
}

}  // namespace

absl::StatusOr<std::unique_ptr<GatewayRecording>> GatewayRecording::Open(const Options& options,
                                                                         Parts parts) {
  ASSIGN_OR_RETURN(std::unique_ptr<TickLog> log, OpenTickLog(options));
  ASSIGN_OR_RETURN(
      std::unique_ptr<RecordSpool> spool,
      RecordSpool::Open({.folder = std::filesystem::path(options.data_dir) / "spool" / options.run_id,
                         .max_bytes = options.setup.recording().spool_bytes(),
                         .when_full = RecordSpool::WhenFull::kDropOldest}));
  ASSIGN_OR_RETURN(std::unique_ptr<SpoolDelivery> delivery, SpoolDelivery::Open(spool.get()));
  return std::unique_ptr<GatewayRecording>(
      new GatewayRecording(options, std::move(parts), std::move(log), std::move(spool), std::move(delivery)));
}

GatewayRecording::GatewayRecording(const Options& options, Parts parts, std::unique_ptr<TickLog> log,
                                   std::unique_ptr<RecordSpool> spool,
                                   std::unique_ptr<SpoolDelivery> delivery)
    : log_(std::move(log)),
      spool_(std::move(spool)),
      delivery_(std::move(delivery)),
      recorder_({.segments = SegmentsOf(options)}, {.ticks = parts.ticks,
                                                    .log = log_.get(),
                                                    .spool = spool_.get(),
                                                    .observe = std::move(parts.observe),
                                                    .trace_log = parts.trace_log}),
      uploader_(
          {},
          {.spool = spool_.get(), .delivery = delivery_.get(), .make_writer = std::move(parts.make_writer)}) {
}

void GatewayRecording::Start() {
  recorder_.Start();
  uploader_.Start();
}

absl::Status GatewayRecording::Drain(absl::Time deadline) {
  absl::Status status = recorder_.Drain(deadline);
  status.Update(uploader_.Drain(deadline));
  return status;
}

absl::Status GatewayRecording::KeepPolicy(uint64_t version, const std::string& payload) {
  return log_->KeepPolicy(version, payload);
}

GatewayRecording::Figures GatewayRecording::figures() const {
  return {.recorder = recorder_.figures(),
          .uploader = uploader_.figures(),
          .spool_bytes = spool_->figures().bytes};
}

}  // namespace demorl
