#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/base/record_spool.h"
#include "common/base/spool_delivery.h"
#include "common/robot/realtime/spsc_ring.h"
#include "common/robot/recording/tick_log.h"
#include "common/robot/recording/tick_record.h"
#include "common/tensor/environment_spec.h"
#include "common/tracing/trace_log.h"
#include "demorl/config/v1/robot.pb.h"
#include "services/replay/replay_client.h"
#include "services/robot_gateway/transition_recorder.h"
#include "services/robot_gateway/transition_uploader.h"

namespace demorl {

// What stays of a robot's ticks: all of them in a log of fixed size, and what is learned from them in a
// spool, which replay empties. Two threads of its own; the control loop waits for neither. Thread-safe.
//
// <data_dir>/{ticks/<start count>, spool/<run_id>}
class GatewayRecording {
 public:
  struct Options {
    std::string data_dir;
    // What another run has left in its spool must not go to this one's replay.
    std::string run_id;
    // Of this process, greater than those before: the log's folder and the ids of episodes begin with it.
    uint64_t start_count = 1;
    // One that CheckRobotSetup accepts.
    demorl::config::v1::RobotSetup setup;
    EnvironmentSpec environment;
  };
  // Borrows them.
  struct Parts {
    SpscRing<TickRecord>* ticks = nullptr;
    // Also sees each tick, on the recorder's thread.
    std::function<void(const TickRecord&)> observe;
    // As TransitionUploader::Parts.
    std::function<std::unique_ptr<ReplayWriter>()> make_writer;
    // May be null.
    TraceLog* trace_log = nullptr;
  };
  struct Figures {
    TransitionRecorder::Figures recorder;
    TransitionUploader::Figures uploader;
    // Waiting for replay on disk.
    int64_t spool_bytes = 0;
  };

  // Errors as TickLog::Create, RecordSpool::Open and SpoolDelivery::Open.
  static absl::StatusOr<std::unique_ptr<GatewayRecording>> Open(const Options& options, Parts parts);

  // Begins to take ticks and to hand them on; once.
  void Start();

  // After the control loop has ended: spools what is in the ring and waits until replay has made it durable.
  // Idempotent. Errors as TransitionRecorder::Drain, then TransitionUploader::Drain.
  absl::Status Drain(absl::Time deadline);

  // As TickLog::KeepPolicy.
  absl::Status KeepPolicy(uint64_t version, const std::string& payload);

  Figures figures() const;

 private:
  GatewayRecording(const Options& options, Parts parts, std::unique_ptr<TickLog> log,
                   std::unique_ptr<RecordSpool> spool, std::unique_ptr<SpoolDelivery> delivery);

  const std::unique_ptr<TickLog> log_;
  const std::unique_ptr<RecordSpool> spool_;
  const std::unique_ptr<SpoolDelivery> delivery_;
  TransitionRecorder recorder_;
  TransitionUploader uploader_;
};

}  // namespace demorl
