#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "common/base/record_spool.h"
#include "common/base/spool_delivery.h"
#include "common/robot/realtime/spsc_ring.h"
#include "common/robot/recording/tick_log.h"
#include "services/replay/replay_client.h"
#include "services/robot_gateway/bench_child.h"
#include "services/robot_gateway/bench_disturbance.h"
#include "services/robot_gateway/transition_recorder.h"
#include "services/robot_gateway/transition_uploader.h"

namespace demorl {

// What a gateway keeps of a robot: each tick in the log, transitions in the spool, and from there to replay.
class BenchRecording {
 public:
  // `replay_address`: empty for no replay. Errors as making log and spool has them.
  static absl::StatusOr<std::unique_ptr<BenchRecording>> Start(const std::filesystem::path& folder,
                                                               const std::string& replay_address);
  // Leaves in the spool what is not in replay.
  ~BenchRecording();

  // A tick more than there is room for is lost, and counted.
  void Add(const TickRecord& record) { num_lost_ += ticks_.TryPush(record) ? 0 : 1; }

  // Counts, in words.
  std::string Summary() const;

 private:
  BenchRecording(std::unique_ptr<TickLog> log, std::unique_ptr<RecordSpool> spool,
                 std::unique_ptr<SpoolDelivery> delivery);
  void UploadTo(const std::string& address);

  SpscRing<TickRecord> ticks_{4096};
  int64_t num_lost_ = 0;
  std::unique_ptr<TickLog> log_;
  std::unique_ptr<RecordSpool> spool_;
  std::unique_ptr<SpoolDelivery> delivery_;
  TransitionRecorder recorder_;
  std::unique_ptr<ReplayClient> replay_;
  std::unique_ptr<TransitionUploader> uploader_;  // null without replay
};

// Recording to a replay server that is killed with -9 every five seconds and started again a second later.
class ReplayKills final : public Disturbance {
 public:
  // NOT_FOUND where demorl-replay does not lie beside this program.
  static absl::StatusOr<std::unique_ptr<Disturbance>> Start(const std::filesystem::path& folder);
  // Says on stderr what was recorded.
  ~ReplayKills() override;

  void OnRecord(const TickRecord& record) override { recording_->Add(record); }
  absl::Status OncePerSecond(BenchRobot& robot) override;

 private:
  explicit ReplayKills(const std::filesystem::path& folder) : folder_(folder) {}
  absl::Status StartReplay();

  const std::filesystem::path folder_;
  std::unique_ptr<BenchRecording> recording_;
  std::optional<BenchChild> replay_;
  int seconds_ = 0;
  int num_kills_ = 0;
};

// Recording to a file system that another file fills to the last byte.
class FullDisk final : public Disturbance {
 public:
  // PERMISSION_DENIED for users who may not mount a tmpfs.
  static absl::StatusOr<std::unique_ptr<Disturbance>> Start(const std::filesystem::path& folder);
  // Says on stderr what was recorded.
  ~FullDisk() override;

  void OnRecord(const TickRecord& record) override { recording_->Add(record); }

 private:
  explicit FullDisk(std::filesystem::path mount_point) : mount_point_(std::move(mount_point)) {}
  absl::Status FillUp() const;

  const std::filesystem::path mount_point_;
  std::unique_ptr<BenchRecording> recording_;
};

}  // namespace demorl
