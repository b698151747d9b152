#include "services/robot_gateway/bench_recording.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <utility>

#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/base/file_io.h"
#include "common/base/status_macros.h"
#include "common/rpc/channel_factory.h"

namespace demorl {
namespace {

constexpr char kRunId[] = "robot_bench";

TickLog::Options LogOptions(const std::filesystem::path& folder) {
  const LegSizedTask task;
  const EnvironmentSpec& spec = task.spec();
  return {.folder = folder,
          .max_bytes = int64_t{16} << 20,
          .header = {.robot_name = kRunId,
                     .schema_hash = spec.SchemaHash(),
                     .num_joints = task.num_joints(),
                     .observation_size = spec.observation_size,
                     .action_size = spec.action_size,
                     .control_period = spec.control_period,
                     .limits = LegSizedLimits(),
                     .start_time = absl::Now()}};
}

SegmentBuilder::Options SegmentOptions() {
  const LegSizedTask task;
  return {.observation_size = task.spec().observation_size,
          .action_size = task.spec().action_size,
          .first_episode_id = uint64_t{1} << 40};
}

std::string SocketAddress(const std::filesystem::path& folder) {
  return absl::StrCat("unix:", (folder / "replay.socket").string());
}

void Tell(const std::string& line) { std::fprintf(stderr, "robot_bench: %s\n", line.c_str()); }

}  // namespace

absl::StatusOr<std::unique_ptr<BenchRecording>> BenchRecording::Start(const std::filesystem::path& folder,
                                                                      const std::string& replay_address) {
  RETURN_IF_ERROR(MakeFolders(folder / "ticks"));
  ASSIGN_OR_RETURN(auto log, TickLog::Create(LogOptions(folder / "ticks")));
  ASSIGN_OR_RETURN(auto spool, RecordSpool::Open({.folder = folder / "spool"}));
  ASSIGN_OR_RETURN(auto delivery, SpoolDelivery::Open(spool.get()));
  auto recording =
      absl::WrapUnique(new BenchRecording(std::move(log), std::move(spool), std::move(delivery)));
  if (!replay_address.empty()) {
    recording->UploadTo(replay_address);
  }
  return recording;
}

BenchRecording::BenchRecording(std::unique_ptr<TickLog> log, std::unique_ptr<RecordSpool> spool,
                               std::unique_ptr<SpoolDelivery> delivery)
    : log_(std::move(log)),
      spool_(std::move(spool)),
      delivery_(std::move(delivery)),
      recorder_({.segments = SegmentOptions()},
                {.ticks = &ticks_, .log = log_.get(), .spool = spool_.get()}) {
  recorder_.Start();
}

BenchRecording::~BenchRecording() {
  recorder_.Drain(absl::Now()).IgnoreError();
  if (uploader_ != nullptr) {
    uploader_->Drain(absl::Now()).IgnoreError();
  }
}

void BenchRecording::UploadTo(const std::string& address) {
  replay_ = std::make_unique<ReplayClient>(MakeChannel(address), kRunId);
  const auto make_writer = [replay = replay_.get()] {
    return replay->OpenWriter(
        {.writer_id = kRunId, .writer_epoch = 1, .environment = LegSizedTask().spec(), .simulated = false});
  };
  uploader_ = std::make_unique<TransitionUploader>(
      TransitionUploader::Options(),
      TransitionUploader::Parts{
          .spool = spool_.get(), .delivery = delivery_.get(), .make_writer = make_writer});
  uploader_->Start();
}

std::string BenchRecording::Summary() const {
  const TransitionRecorder::Figures recorded = recorder_.figures();
  std::string summary =
      absl::StrCat(recorded.ticks, " ticks taken, ", num_lost_, " lost, ", recorded.log_errors,
                   " not logged; rows: ", recorded.rows_spooled, " spooled, ", recorded.rows_waiting,
                   " waiting, ", recorded.rows_dropped, " dropped");
  if (uploader_ != nullptr) {
    absl::StrAppend(&summary, ", ", uploader_->figures().rows_durable, " durable in replay");
  }
  if (!recorded.spool_status.ok()) {
    absl::StrAppend(&summary, "; spool: ", recorded.spool_status.ToString());
  }
  return summary;
}

absl::StatusOr<std::unique_ptr<Disturbance>> ReplayKills::Start(const std::filesystem::path& parent) {
  const std::filesystem::path folder = parent / "replay_kills";
  RETURN_IF_ERROR(MakeFolders(folder));
  RETURN_IF_ERROR(WriteFileAtomically(
      folder / "run.textproto",
      absl::StrCat("environment: 'LegSized-v0' run_id: '", kRunId, "'\n",
                   "replay { tables { name: 'env' rate_limiter { min_rows: 1 } } tables { name: 'mpc' } }\n",
                   "services { replay { address: '", SocketAddress(folder), "' data_dir: '",
                   (folder / "data").string(), "' } }\n")));
  auto kills = absl::WrapUnique(new ReplayKills(folder));
  RETURN_IF_ERROR(kills->StartReplay());
  ASSIGN_OR_RETURN(kills->recording_, BenchRecording::Start(folder, SocketAddress(folder)));
  return kills;
}

ReplayKills::~ReplayKills() {
  if (recording_ != nullptr) {
    Tell(absl::StrCat("replay was killed ", num_kills_, " times; ", recording_->Summary()));
  }
}

absl::Status ReplayKills::StartReplay() {
  std::error_code error;
  const std::filesystem::path binary =
      std::filesystem::read_symlink("/proc/self/exe", error).parent_path() / "demorl-replay";
  ASSIGN_OR_RETURN(BenchChild child,
                   BenchChild::Start({binary.string(), "--config", (folder_ / "run.textproto").string()},
                                     folder_ / "replay.out"));
  replay_.emplace(std::move(child));
  return absl::OkStatus();
}

absl::Status ReplayKills::OncePerSecond(BenchRobot& /*robot*/) {
  ++seconds_;
  if (seconds_ % 5 == 4) {
    if (!replay_->IsRunning()) {
      return replay_->Result();
    }
    replay_->Kill();
    ++num_kills_;
  }
  return seconds_ % 5 == 0 ? StartReplay() : absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<Disturbance>> FullDisk::Start(const std::filesystem::path& parent) {
  const std::filesystem::path mount_point = parent / "full";
  RETURN_IF_ERROR(MakeFolders(mount_point));
  if (mount("robot_bench", mount_point.c_str(), "tmpfs", MS_NOSUID | MS_NODEV, "size=64m") != 0) {
    return ErrnoToStatus(errno, "mount a tmpfs on", mount_point);
  }
  auto disk = absl::WrapUnique(new FullDisk(mount_point));
  ASSIGN_OR_RETURN(disk->recording_, BenchRecording::Start(mount_point, /*replay_address=*/""));
  RETURN_IF_ERROR(disk->FillUp());
  return disk;
}

FullDisk::~FullDisk() {
  if (recording_ != nullptr) {
    Tell(absl::StrCat("the disk was full; ", recording_->Summary()));
  }
  recording_.reset();
  umount2(mount_point_.c_str(), MNT_DETACH);
}

absl::Status FullDisk::FillUp() const {
  const std::filesystem::path path = mount_point_ / "rest";
  const int descriptor = open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  if (descriptor < 0) {
    return ErrnoToStatus(errno, "open", path);
  }
  const std::string block(1 << 16, 'x');
  while (write(descriptor, block.data(), block.size()) > 0) {
  }
  const int error_number = errno;
  close(descriptor);
  return error_number == ENOSPC ? absl::OkStatus() : ErrnoToStatus(error_number, "write", path);
}

}  // namespace demorl
