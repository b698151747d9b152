#include "common/robot/recording/tick_log.h"

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <thread>

#include "absl/strings/str_cat.h"
#include "common/base/file_io.h"
#include "common/base/random.h"
#include "common/robot/recording/tick_log_reader.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"

namespace demorl {
namespace {

using ::demorl::testing::StatusIs;
using ::testing::_;
using ::testing::HasSubstr;

constexpr int kJoints = 3;
constexpr int kObservationSize = 7;
constexpr int kActionSize = 2;

TickLogHeader TestHeader() {
  JointLimits limits;
  limits.joint_name = "knee";
  limits.maximum_torque_nm = 0.1 + 0.2;
  return {.robot_name = "leg",
          .schema_hash = "0123456789abcdef",
          .num_joints = kJoints,
          .observation_size = kObservationSize,
          .action_size = kActionSize,
          .control_period = absl::Milliseconds(2),
          .limits = std::vector<JointLimits>(kJoints, limits),
          .start_time = absl::FromUnixSeconds(1'700'000'000)};
}

// All of what a robot of these sizes has, different in each tick.
TickRecord MakeTick(uint64_t index) {
  Random random(index);
  TickRecord record;
  record.index = index;
  record.scheduled_ns = static_cast<int64_t>(index) * 2'000'000;
  record.woke_ns = record.scheduled_ns + 10;
  record.finished_ns = record.scheduled_ns + 20;
  record.state = RobotState::kArmed;
  record.reason = StopReason::kOverheated;
  record.step = TickStep::kMid;
  record.source = ActionSource::kPolicy;
  record.policy_version = 1 + index / 100;
  record.reward = random.Normal();
  record.random = random.SaveState();
  random.FillNormal(std::span(record.observation.data(), kObservationSize));
  random.FillNormal(std::span(record.action.data(), kActionSize));
  for (int i = 0; i < kJoints; ++i) {
    record.measured[i].position_rad = random.Normal();
    record.measured[i].time = absl::Nanoseconds(index + i);
    record.requested[i].torque_nm = random.Normal();
    record.commanded[i].torque_nm = random.Normal();
    record.envelope[i] = random.Normal();
  }
  record.imu.orientation = {random.Normal(), 0, 0, 1};
  record.torque_share = 0.5;
  record.clamps = {1, 2, 3};
  return record;
}

void ExpectEqual(const TickRecord& a, const TickRecord& b) {
  EXPECT_EQ(a.index, b.index);
  EXPECT_EQ(a.finished_ns, b.finished_ns);
  EXPECT_EQ(a.state, b.state);
  EXPECT_EQ(a.reason, b.reason);
  EXPECT_EQ(a.step, b.step);
  EXPECT_EQ(a.source, b.source);
  EXPECT_EQ(a.policy_version, b.policy_version);
  EXPECT_EQ(a.reward, b.reward);
  EXPECT_EQ(a.random, b.random);
  EXPECT_EQ(a.observation, b.observation);
  EXPECT_EQ(a.action, b.action);
  EXPECT_EQ(a.imu.orientation, b.imu.orientation);
  EXPECT_EQ(a.torque_share, b.torque_share);
  EXPECT_EQ(a.envelope, b.envelope);
  EXPECT_EQ(a.clamps, b.clamps);
  for (int i = 0; i < kMaxJoints; ++i) {
    EXPECT_EQ(a.measured[i].position_rad, b.measured[i].position_rad);
    EXPECT_EQ(a.measured[i].time, b.measured[i].time);
    EXPECT_EQ(a.requested[i].torque_nm, b.requested[i].torque_nm);
    EXPECT_EQ(a.commanded[i].torque_nm, b.commanded[i].torque_nm);
  }
}

class TickLogTest : public ::testing::Test {
 protected:
  TickLogTest()
      : folder_(std::filesystem::path(::testing::TempDir()) /
                absl::StrCat("ticks_", getpid(), "_",
                             ::testing::UnitTest::GetInstance()->current_test_info()->name())) {}
  ~TickLogTest() override { std::filesystem::remove_all(folder_); }

  static int64_t BytesFor(int num_slots) {
    return kTickLogHeaderBytes + num_slots * static_cast<int64_t>(TickPacker(TestHeader()).slot_bytes());
  }
  std::unique_ptr<TickLog> Create(int num_slots, uint64_t start_count = 1, int max_policies = 256) {
    auto log = TickLog::Create({.folder = folder_,
                                .start_count = start_count,
                                .max_bytes = BytesFor(num_slots),
                                .keep_starts = 2,
                                .max_policies = max_policies,
                                .header = TestHeader()});
    EXPECT_OK(log);
    return *std::move(log);
  }
  std::unique_ptr<TickLogReader> OpenReader() {
    auto reader = TickLogReader::Open(folder_);
    EXPECT_OK(reader);
    return *std::move(reader);
  }
  static std::vector<uint64_t> Indices(TickLogReader& reader) {
    std::vector<uint64_t> indices;
    while (const auto record = reader.Next()) {
      ExpectEqual(*record, MakeTick(record->index));
      indices.push_back(record->index);
    }
    return indices;
  }
  static std::vector<uint64_t> Range(uint64_t first, uint64_t last) {
    std::vector<uint64_t> range;
    for (uint64_t i = first; i <= last; ++i) {
      range.push_back(i);
    }
    return range;
  }

  const std::filesystem::path folder_;
};

TEST_F(TickLogTest, GivesBackWhatWasAppendedAndWhatItIsOf) {
  const auto log = Create(100);
  for (uint64_t i = 1; i <= 40; ++i) {
    ASSERT_OK(log->Append(MakeTick(i)));
  }
  const auto reader = OpenReader();
  EXPECT_EQ(reader->header().robot_name, "leg");
  EXPECT_EQ(reader->header().schema_hash, "0123456789abcdef");
  EXPECT_EQ(reader->header().control_period, absl::Milliseconds(2));
  EXPECT_EQ(reader->header().start_time, absl::FromUnixSeconds(1'700'000'000));
  ASSERT_EQ(reader->header().limits.size(), static_cast<size_t>(kJoints));
  EXPECT_EQ(reader->header().limits[2].joint_name, "knee");
  EXPECT_EQ(reader->header().limits[2].maximum_torque_nm, 0.1 + 0.2);
  EXPECT_EQ(reader->num_records(), 40);
  EXPECT_EQ(Indices(*reader), Range(1, 40));
}

TEST_F(TickLogTest, TheNewestRecordsOverwriteTheOldestAndTheSizeStays) {
  const auto log = Create(100);
  EXPECT_EQ(log->capacity(), 100);
  const auto size = std::filesystem::file_size(log->path());
  for (uint64_t i = 1; i <= 333; ++i) {
    ASSERT_OK(log->Append(MakeTick(i)));
  }
  EXPECT_EQ(std::filesystem::file_size(log->path()), size);
  EXPECT_EQ(Indices(*OpenReader()), Range(234, 333));
}

TEST_F(TickLogTest, IsReadableWhileItIsWritten) {
  const auto log = Create(50);
  for (uint64_t i = 1; i <= 50; ++i) {
    ASSERT_OK(log->Append(MakeTick(i)));
  }
  const auto reader = OpenReader();
  for (uint64_t i = 51; i <= 70; ++i) {
    ASSERT_OK(log->Append(MakeTick(i)));
  }
  EXPECT_EQ(Indices(*reader), Range(21, 50));
}

TEST_F(TickLogTest, SurvivesAKillInTheMiddle) {
  const pid_t child = fork();
  if (child == 0) {
    const auto log = Create(100);
    for (uint64_t i = 1; i <= 250; ++i) {
      if (!log->Append(MakeTick(i)).ok()) {
        _exit(1);
      }
    }
    raise(SIGKILL);
  }
  int status = 0;
  waitpid(child, &status, 0);
  ASSERT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(Indices(*OpenReader()), Range(151, 250));
}

TEST_F(TickLogTest, SkipsTornAndFlippedRecords) {
  const auto log = Create(64);
  for (uint64_t i = 1; i <= 64; ++i) {
    ASSERT_OK(log->Append(MakeTick(i)));
  }
  ASSERT_OK_AND_ASSIGN(const std::string original, ReadFile(log->path()));
  const size_t slot_bytes = TickPacker(TestHeader()).slot_bytes();
  const size_t packed_bytes = TickPacker(TestHeader()).packed_bytes();
  Random random(1);
  for (int round = 0; round < 500; ++round) {
    std::string damaged = original;
    const size_t slot = random.Index(64);
    const size_t begin = kTickLogHeaderBytes + slot * slot_bytes;
    // Of the head, what is reserved protects nothing.
    const size_t byte = random.Index(2) == 0 ? random.Index(12) : 16 + random.Index(packed_bytes);
    damaged[begin + byte] ^= static_cast<char>(1 << random.Index(8));
    std::filesystem::remove(log->path());
    ASSERT_OK(AppendToFile(log->path(), damaged));
    const auto reader = OpenReader();
    EXPECT_EQ(reader->num_damaged(), 1);
    EXPECT_EQ(Indices(*reader).size(), 63u);
  }
}

TEST_F(TickLogTest, RefusesWhatIsNoLogOfThisBuild) {
  const auto log = Create(64);
  ASSERT_OK_AND_ASSIGN(const std::string original, ReadFile(log->path()));
  const auto open_with = [&](std::string contents) {
    std::filesystem::remove(log->path());
    EXPECT_OK(AppendToFile(log->path(), contents));
    return TickLogReader::Open(folder_).status();
  };
  EXPECT_THAT(open_with("short"), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("not a log")));
  std::string other_layout = original;
  other_layout[24] ^= 4;  // sizeof(TickRecord)
  EXPECT_THAT(open_with(other_layout),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("another build")));
  std::string flipped = original;
  flipped[100] ^= 1;
  EXPECT_THAT(open_with(flipped), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("damaged")));
  EXPECT_OK(open_with(original));
  EXPECT_OK(open_with(original.substr(0, kTickLogHeaderBytes + 100)));
  EXPECT_THAT(TickLogReader::Open(folder_ / "nowhere").status(), StatusIs(absl::StatusCode::kNotFound, _));
}

TEST_F(TickLogTest, NoDamageToTheHeaderGoesUnnoticed) {
  ASSERT_OK_AND_ASSIGN(const std::string original, EncodeTickLogHeader(TestHeader(), 100));
  ASSERT_OK(DecodeTickLogHeader(original));
  for (size_t byte = 0; byte < 2400; ++byte) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string damaged = original;
      damaged[byte] ^= static_cast<char>(1 << bit);
      EXPECT_FALSE(DecodeTickLogHeader(damaged).ok()) << byte;
    }
    EXPECT_FALSE(DecodeTickLogHeader(original.substr(0, byte)).ok());
  }
}

TEST_F(TickLogTest, RefusesSizesThatATickDoesNotHold) {
  TickLogHeader header = TestHeader();
  header.observation_size = kMaxObservationSize + 1;
  EXPECT_THAT(TickLog::Create({.folder = folder_, .header = header}).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("65")));
  header = TestHeader();
  header.limits.pop_back();
  EXPECT_THAT(TickLog::Create({.folder = folder_, .header = header}).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("2 limits")));
  header = TestHeader();
  header.robot_name = std::string(64, 'x');
  EXPECT_THAT(TickLog::Create({.folder = folder_, .header = header}).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("robot name")));
  EXPECT_THAT(TickLog::Create({.folder = folder_, .max_bytes = 10'000, .header = TestHeader()}).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("16 records")));
}

TEST_F(TickLogTest, AFullDiskIsToldWhenItIsMadeAndDoesNotMatterLater) {
  signal(SIGXFSZ, SIG_IGN);
  rlimit before{};
  getrlimit(RLIMIT_FSIZE, &before);
  const rlimit limit{static_cast<rlim_t>(BytesFor(20)), before.rlim_max};
  setrlimit(RLIMIT_FSIZE, &limit);
  const absl::Status status =
      TickLog::Create({.folder = folder_, .max_bytes = BytesFor(40), .header = TestHeader()}).status();
  const auto log = Create(20);
  for (uint64_t i = 1; i <= 50; ++i) {
    EXPECT_OK(log->Append(MakeTick(i)));
  }
  setrlimit(RLIMIT_FSIZE, &before);
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("reserve")));
  EXPECT_EQ(Indices(*OpenReader()), Range(31, 50));
}

TEST_F(TickLogTest, KeepsPoliciesForAsLongAsThereAreTicksOfThem) {
  const auto log = Create(100);
  uint64_t index = 0;
  for (uint64_t version = 1; version <= 5; ++version) {
    ASSERT_OK(log->KeepPolicy(version, absl::StrCat("payload ", version)));
    for (int i = 0; i < 40; ++i) {
      TickRecord record = MakeTick(++index);
      record.policy_version = version;
      ASSERT_OK(log->Append(record));
    }
  }
  const auto reader = OpenReader();
  for (const uint64_t version : {1, 2}) {
    EXPECT_THAT(reader->ReadPolicy(version).status(), StatusIs(absl::StatusCode::kNotFound, _)) << version;
  }
  for (const uint64_t version : {3, 4, 5}) {  // ticks 101 to 200
    ASSERT_OK_AND_ASSIGN(const std::string payload, reader->ReadPolicy(version));
    EXPECT_EQ(payload, absl::StrCat("payload ", version));
  }
}

TEST_F(TickLogTest, BoundsTheNumberOfPolicies) {
  const auto log = Create(100, 1, /*max_policies=*/3);
  std::thread keeper([&] {
    for (uint64_t version = 1; version <= 10; ++version) {
      EXPECT_OK(log->KeepPolicy(version, "payload"));
    }
  });
  for (uint64_t i = 1; i <= 50; ++i) {
    EXPECT_OK(log->Append(MakeTick(i)));
  }
  keeper.join();
  const auto reader = OpenReader();
  EXPECT_FALSE(reader->ReadPolicy(7).ok());
  EXPECT_OK(reader->ReadPolicy(8));
  EXPECT_OK(reader->ReadPolicy(10));
}

TEST_F(TickLogTest, KeepsTheLogsOfTheLastStarts) {
  for (uint64_t start = 1; start <= 4; ++start) {
    ASSERT_OK(Create(20, start)->Append(MakeTick(start)));
  }
  EXPECT_EQ(Indices(*OpenReader()), Range(4, 4));
  ASSERT_OK_AND_ASSIGN(const auto before, TickLogReader::Open(folder_ / "00000003"));
  EXPECT_EQ(Indices(*before), Range(3, 3));
  EXPECT_FALSE(std::filesystem::exists(folder_ / "00000002"));
}

}  // namespace
}  // namespace demorl
