// Ticks of a robot on their way to replay: the recording process and the replay process are killed with -9,
// one after the other and again, and replay stays away for long.

#include <fcntl.h>
#include <stdlib.h>

#include <cstring>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/base/clock.h"
#include "common/base/file_io.h"
#include "common/rpc/channel_factory.h"
#include "gtest/gtest.h"
#include "services/replay/replay_client.h"
#include "services/robot_gateway/transition_recorder.h"
#include "services/robot_gateway/transition_uploader.h"
#include "tests/integration/replay_process.h"
#include "tests/testing/status_matchers.h"
#include "tests/unit/robot_gateway/robot_ticks.h"

namespace demorl {
namespace {

using ::demorl::testing::kRobotActionSize;
using ::demorl::testing::kRobotObservationSize;
using ::demorl::testing::ReplayProcess;
using ::demorl::testing::RobotEnvironment;
using ::demorl::testing::RobotRows;
using ::demorl::testing::RobotTick;

absl::Time Soon() { return absl::Now() + absl::Seconds(240); }

// What a gateway has between its control loop and replay.
class Recording {
 public:
  Recording(const std::filesystem::path& folder, int port, uint64_t start_count)
      : client_(MakeChannel(absl::StrCat("127.0.0.1:", port)), "run"), ticks_(4096) {
    auto spool = RecordSpool::Open({.folder = folder, .when_full = RecordSpool::WhenFull::kDropOldest});
    EXPECT_OK(spool);
    spool_ = *std::move(spool);
    auto delivery = SpoolDelivery::Open(spool_.get());
    EXPECT_OK(delivery);
    delivery_ = *std::move(delivery);
    recorder_ = std::make_unique<TransitionRecorder>(
        TransitionRecorder::Options{.segments = {.observation_size = kRobotObservationSize,
                                                 .action_size = kRobotActionSize,
                                                 .first_episode_id = start_count << 40}},
        TransitionRecorder::Parts{.ticks = &ticks_, .spool = spool_.get()});
    uploader_ = std::make_unique<TransitionUploader>(
        TransitionUploader::Options{},
        TransitionUploader::Parts{
            .spool = spool_.get(), .delivery = delivery_.get(), .make_writer = [=, this] {
              return client_.OpenWriter({.writer_id = "robot",
                                         .writer_epoch = start_count,
                                         .environment = RobotEnvironment(),
                                         .simulated = false});
            }});
    recorder_->Start();
    uploader_->Start();
  }

  // Waits while the ring is full.
  void Tick(uint64_t index) {
    while (!ticks_.TryPush(RobotTick(index))) {
      absl::SleepFor(absl::Milliseconds(1));
    }
  }
  bool Drain() { return recorder_->Drain(Soon()).ok() && uploader_->Drain(Soon()).ok(); }

  RecordSpool& spool() { return *spool_; }
  TransitionRecorder& recorder() { return *recorder_; }
  TransitionUploader& uploader() { return *uploader_; }

 private:
  ReplayClient client_;
  SpscRing<TickRecord> ticks_;
  std::unique_ptr<RecordSpool> spool_;
  std::unique_ptr<SpoolDelivery> delivery_;
  std::unique_ptr<TransitionRecorder> recorder_;
  std::unique_ptr<TransitionUploader> uploader_;
};

constexpr char kChildFlag[] = "--recording-child";

// The recording process: ticks until it is killed, or `num_ticks` and a drain. After each episode it writes
// the number of rows that were spooled by then.
int RunChild(char** arguments) {
  int port = 0, num_ticks = 0;
  uint64_t start_count = 0;
  if (!absl::SimpleAtoi(arguments[1], &port) || !absl::SimpleAtoi(arguments[2], &start_count) ||
      !absl::SimpleAtoi(arguments[3], &num_ticks)) {
    return 2;
  }
  Recording recording(arguments[0], port, start_count);
  for (int i = 0; num_ticks == 0 || i < num_ticks; ++i) {
    recording.Tick(i);
    if (i % 101 == 100) {
      const std::string line = absl::StrCat(recording.recorder().figures().rows_spooled, "\n");
      if (write(STDOUT_FILENO, line.data(), line.size()) < 0) {
        return 3;
      }
      absl::SleepFor(absl::Milliseconds(2));
    }
  }
  return recording.Drain() ? 0 : 4;
}

class ChildProcess {
 public:
  ChildProcess(const std::filesystem::path& spool, int port, uint64_t start_count, int num_ticks) {
    const std::vector<std::string> arguments = {
        "/proc/self/exe",       kChildFlag, spool.string(), absl::StrCat(port), absl::StrCat(start_count),
        absl::StrCat(num_ticks)};
    std::vector<char*> raw;
    for (const std::string& argument : arguments) {
      raw.push_back(const_cast<char*>(argument.c_str()));
    }
    raw.push_back(nullptr);
    int pipe_fds[2];
    EXPECT_EQ(pipe2(pipe_fds, O_CLOEXEC), 0);
    pid_ = fork();
    if (pid_ == 0) {
      dup2(pipe_fds[1], STDOUT_FILENO);
      execv(raw[0], raw.data());
      _exit(127);
    }
    close(pipe_fds[1]);
    output_ = fdopen(pipe_fds[0], "r");
  }
  ~ChildProcess() { fclose(output_); }

  // Reads on until it has spooled so many rows.
  void AwaitRows(int64_t rows) {
    while (rows_spooled_ < rows && ReadLine()) {
    }
  }
  // How many rows it said it had spooled.
  int64_t Kill() {
    kill(pid_, SIGKILL);
    while (ReadLine()) {
    }
    EXPECT_NE(Wait(), 0);
    return rows_spooled_;
  }
  int Wait() {
    while (ReadLine()) {
    }
    int status = 0;
    waitpid(pid_, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }

 private:
  bool ReadLine() {
    char line[64];
    return fgets(line, sizeof(line), output_) != nullptr && absl::SimpleAtoi(line, &rows_spooled_);
  }

  pid_t pid_ = 0;
  FILE* output_ = nullptr;
  int64_t rows_spooled_ = 0;
};

class RobotRecordingTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (std::filesystem::temp_directory_path() / "robot_recording_XXXXXX").string();
    folder_ = mkdtemp(pattern.data());
    config_ = folder_ / "run.textproto";
    ASSERT_OK(WriteFileAtomically(
        config_, absl::StrCat("environment: 'FakeRobot-v0' run_id: 'run'\n",
                              "replay { tables { name: 'env' rate_limiter { min_rows: 1 } } tables { name: "
                              "'mpc' } }\n",
                              "services { replay { data_dir: '", (folder_ / "data").string(), "' } }\n")));
    StartReplay();
  }
  void TearDown() override {
    server_.reset();
    std::filesystem::remove_all(folder_);
  }

  void StartReplay() {
    server_ = std::make_unique<ReplayProcess>(config_, port_);
    port_ = server_->port();
    ASSERT_GT(port_, 0);
  }
  void KillReplay() {
    EXPECT_EQ(server_->Signal(SIGKILL), -SIGKILL);
    server_.reset();
  }
  std::filesystem::path spool() const { return folder_ / "spool"; }

  // By start of the recording process: the tick of each row, in the order of the table.
  std::map<uint64_t, std::vector<int64_t>> ReadAllRows() {
    ReplayClient client(MakeChannel(absl::StrCat("127.0.0.1:", port_)), "run");
    std::map<uint64_t, std::vector<int64_t>> rows;
    const auto info = client.GetTable("env");
    EXPECT_OK(info);
    auto tail = client.OpenTail("env", 0);
    for (uint64_t position = 0; info.ok() && position < info->rows_inserted();) {
      const auto read = tail->Next(Soon());
      if (!read.ok()) {
        ADD_FAILURE() << read.status();
        break;
      }
      position = read->next_position;
      for (const Segment& segment : read->chunk.segments) {
        for (const float reward : segment.rewards) {
          rows[segment.episode_id >> 40].push_back(static_cast<int64_t>(reward));
        }
      }
    }
    const auto audit = client.Audit();
    EXPECT_OK(audit);
    EXPECT_EQ(audit->violations_size(), 0) << audit->DebugString();
    return rows;
  }
  // Rows 1, 2, ... of the ticks, each once, and not fewer than were spooled.
  static void ExpectRowsFromTheFirst(const std::vector<int64_t>& rows, int64_t at_least) {
    EXPECT_GE(static_cast<int64_t>(rows.size()), at_least);
    int64_t tick = 0;
    for (const int64_t row : rows) {
      tick += tick % 101 == 100 ? 2 : 1;  // an episode's first tick makes no row
      ASSERT_EQ(row, tick);
    }
  }

  std::filesystem::path folder_;
  std::filesystem::path config_;
  std::unique_ptr<ReplayProcess> server_;
  int port_ = 0;
};

TEST_F(RobotRecordingTest, KillsOfBothSidesLoseNothingAndDoubleNothing) {
  constexpr int kLastTicks = 20'000;
  std::map<uint64_t, int64_t> spooled;
  uint64_t start = 0;
  const auto kill_after = [&](int64_t rows, bool replay_dies) {
    ChildProcess child(spool(), port_, ++start, /*num_ticks=*/0);
    child.AwaitRows(rows);
    if (replay_dies) {
      KillReplay();
      child.AwaitRows(2 * rows);
    }
    spooled[start] = child.Kill();
    EXPECT_GE(spooled[start], rows);
  };
  kill_after(4000, /*replay_dies=*/false);
  kill_after(4000, /*replay_dies=*/true);
  kill_after(1000, /*replay_dies=*/false);  // replay is away all the time
  StartReplay();
  {
    ChildProcess child(spool(), port_, ++start, /*num_ticks=*/0);
    for (int64_t rows = 4000; rows <= 12'000; rows += 4000) {
      child.AwaitRows(rows);
      KillReplay();
      StartReplay();
    }
    spooled[start] = child.Kill();
  }
  kill_after(2000, /*replay_dies=*/true);
  StartReplay();
  ChildProcess last(spool(), port_, ++start, kLastTicks);
  EXPECT_EQ(last.Wait(), 0);
  spooled[start] = RobotRows(kLastTicks);

  const auto rows = ReadAllRows();
  ASSERT_EQ(rows.size(), spooled.size());
  for (const auto& [child, ticks] : rows) {
    SCOPED_TRACE(child);
    ExpectRowsFromTheFirst(ticks, spooled[child]);
  }
  EXPECT_EQ(rows.at(start).size(), static_cast<size_t>(RobotRows(kLastTicks)));
}

TEST_F(RobotRecordingTest, ALongOutageCostsNothingAndIsDrainedInOrder) {
  constexpr int64_t kTicks = 300'000;  // ten minutes at 500 Hz
  KillReplay();
  Recording recording(spool(), port_, 1);
  for (int64_t i = 0; i < kTicks; ++i) {
    recording.Tick(i);
  }
  ASSERT_OK(recording.recorder().Drain(Soon()));
  EXPECT_EQ(recording.recorder().figures().rows_spooled, RobotRows(kTicks));
  EXPECT_EQ(recording.uploader().figures().rows_sent, 0);
  const RecordSpool::Figures waiting = recording.spool().figures();
  EXPECT_GT(waiting.bytes, 20 * RobotRows(kTicks));
  StartReplay();
  const absl::Duration start = RealClock::Get().Now();
  ASSERT_OK(recording.uploader().Drain(Soon()));
  const double drain_s = absl::ToDoubleSeconds(RealClock::Get().Now() - start);
  RecordProperty("drained_rows_per_s", absl::StrCat(RobotRows(kTicks) / drain_s));
  printf("drained %ld rows, %ld bytes in %.2f s: %.0f times real time at 500 Hz\n",
         static_cast<long>(RobotRows(kTicks)), static_cast<long>(waiting.bytes), drain_s,
         kTicks / 500.0 / drain_s);
  EXPECT_EQ(recording.spool().figures().records, 0);
  EXPECT_EQ(recording.uploader().figures().rows_durable, RobotRows(kTicks));
  const auto rows = ReadAllRows();
  ExpectRowsFromTheFirst(rows.at(1), RobotRows(kTicks));
  EXPECT_EQ(rows.at(1).size(), static_cast<size_t>(RobotRows(kTicks)));
}

}  // namespace
}  // namespace demorl

int main(int argc, char** argv) {
  if (argc == 6 && std::strcmp(argv[1], demorl::kChildFlag) == 0) {
    return demorl::RunChild(argv + 2);
  }
  ::testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
