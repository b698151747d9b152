#include "common/robot/recording/replay_ticks.h"

#include <unistd.h>

#include <cmath>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "common/robot/control/robot_loop.h"
#include "common/robot/recording/tick_log.h"
#include "gtest/gtest.h"
#include "tests/fakes/fake_robot.h"
#include "tests/fakes/policies.h"
#include "tests/testing/status_matchers.h"

namespace demorl {
namespace {

constexpr absl::Duration kPeriod = absl::Milliseconds(2);
constexpr int kNumJoints = 2;

// A real loop over fake joints, ticked by hand, whose records go to a log.
class ReplayTicksTest : public ::testing::Test {
 protected:
  ReplayTicksTest()
      : folder_(std::filesystem::path(::testing::TempDir()) /
                absl::StrCat("replay_ticks_", getpid(), "_",
                             ::testing::UnitTest::GetInstance()->current_test_info()->name())),
        bus_(kNumJoints),
        task_(kNumJoints, /*max_episode_steps=*/20) {
    panel_.SetLeaseExpiry(absl::Hours(1));
  }
  ~ReplayTicksTest() override { std::filesystem::remove_all(folder_); }

  void Start(bool acts_by_mean = false) {
    RobotLoopOptions options;
    options.control_period = kPeriod;
    options.acts_by_mean = acts_by_mean;
    options.max_reset_time = 2 * kPeriod;
    options.arming = {.ramp = 5 * kPeriod, .safe_action_time = 10 * kPeriod};
    loop_ = std::make_unique<RobotLoop>(options,
                                        RobotLoop::Parts{.task = &task_,
                                                         .bus = &bus_,
                                                         .panel = &panel_,
                                                         .records = &records_,
                                                         .limits = FakeRobotLimits(kNumJoints)},
                                        /*seed=*/1);
    auto log = TickLog::Create({.folder = folder_,
                                .max_bytes = 4 << 20,
                                .header = {.robot_name = "fake",
                                           .schema_hash = task_.spec().SchemaHash(),
                                           .num_joints = kNumJoints,
                                           .observation_size = task_.spec().observation_size,
                                           .action_size = task_.spec().action_size,
                                           .control_period = kPeriod,
                                           .acts_by_mean = acts_by_mean,
                                           .limits = FakeRobotLimits(kNumJoints)}});
    ASSERT_OK(log);
    log_ = *std::move(log);
  }
  // Joints move, and torques vary so much that the envelope clamps.
  void RunTicks(int num_ticks) {
    for (int i = 0; i < num_ticks; ++i) {
      for (int joint = 0; joint < kNumJoints; ++joint) {
        bus_.state[joint].position_rad = 0.8 * std::sin(0.1 * tick_.index + joint);
        bus_.state[joint].velocity_rad_s = 18 * std::cos(0.1 * tick_.index + joint);
      }
      ++tick_.index;
      tick_.scheduled += kPeriod;
      tick_.woke = tick_.scheduled;
      loop_->RunTick(tick_);
      TickRecord record;
      ASSERT_TRUE(records_.TryPop(record));
      change_(record);
      ASSERT_OK(log_->Append(record));
    }
  }
  void Arm() {
    RunTicks(1);
    panel_.RequestArm(ArmMode::kLearn);
    RunTicks(10);
  }
  void UsePolicy(uint64_t version) {
    const TensorFile file = RandomPolicy(2 * kNumJoints, {16, 16}, kNumJoints, version);
    ASSERT_OK(log_->KeepPolicy(version, EncodeSafetensors(file)));
    auto network = MlpPolicy::Create(file, 2 * kNumJoints, kNumJoints);
    ASSERT_OK(network);
    auto policy = std::make_unique<LoopPolicy>();
    policy->network = *std::move(network);
    policy->version = version;
    loop_->OfferPolicy(std::move(policy));
    loop_->SetLearningStarted(true);
  }
  TickReplay Replay(const TickRequest& request = {}) {
    auto reader = TickLogReader::Open(folder_);
    EXPECT_OK(reader);
    return ReplayTicks(**reader, request);
  }
  // Random actions, two policies, an operator's, a stop: all that a log may hold.
  void RunAll() {
    Arm();
    RunTicks(100);
    UsePolicy(1);
    RunTicks(100);
    UsePolicy(2);
    RunTicks(50);
    panel_.Intervene({.action = {0.9f, -0.4f}, .expiry = tick_.woke + 11 * kPeriod});
    RunTicks(50);
    panel_.EmergencyStop();
    RunTicks(20);
  }

  const std::filesystem::path folder_;
  FakeActuatorBus bus_;
  FakeRobotTask task_;
  OperatorPanel panel_;
  SpscRing<TickRecord> records_{4};
  std::unique_ptr<RobotLoop> loop_;
  std::unique_ptr<TickLog> log_;
  Tick tick_;
  std::function<void(TickRecord&)> change_ = [](TickRecord&) {};
};

TEST_F(ReplayTicksTest, EveryTickOfALoopComesOutTheSame) {
  Start();
  RunAll();
  const TickReplay replay = Replay([this](const TickRecord& record, std::span<JointCommand> requested) {
    task_.Command({}, {record.action.data(), kNumJoints}, requested);
    return true;
  });
  EXPECT_EQ(replay.num_ticks, 331);
  EXPECT_EQ(replay.num_commands, 331);
  EXPECT_GT(replay.num_actions, 200);
  EXPECT_GT(replay.num_requests, replay.num_actions);  // also those of the operator
  EXPECT_TRUE(replay.skipped.empty());
  EXPECT_EQ(replay.num_different, 0) << replay.first_difference->field << " of tick "
                                     << replay.first_difference->tick_index << ": "
                                     << replay.first_difference->recorded << " recorded, "
                                     << replay.first_difference->replayed << " replayed";
}

TEST_F(ReplayTicksTest, FollowsALoopThatActsByTheMean) {
  Start(/*acts_by_mean=*/true);
  RunAll();
  const TickReplay replay = Replay();
  EXPECT_GT(replay.num_actions, 200);
  EXPECT_EQ(replay.num_requests, 0);
  EXPECT_EQ(replay.num_different, 0);
}

TEST_F(ReplayTicksTest, NamesTheFirstTickAndFieldThatDiffer) {
  struct Case {
    std::string field;
    std::function<void(TickRecord&)> change;
  };
  // The last bit of each.
  const std::vector<Case> cases = {
      {"action[1]", [](TickRecord& record) { record.action[1] = std::nextafterf(record.action[1], 2); }},
      {"commanded[0].torque_nm",
       [](TickRecord& record) {
         record.commanded[0].torque_nm = std::nextafter(record.commanded[0].torque_nm, 9);
       }},
      {"commanded[1].mode", [](TickRecord& record) { record.commanded[1].mode = ActuatorMode::kDamping; }},
      {"clamps[torque]", [](TickRecord& record) { ++record.clamps[static_cast<int>(Clamp::kTorque)]; }},
  };
  for (const Case& test : cases) {
    SCOPED_TRACE(test.field);
    tick_.index = 0;
    change_ = [&](TickRecord& record) {
      if (record.index >= 150 && record.step == TickStep::kMid) {
        test.change(record);
      }
    };
    Start();
    Arm();
    RunTicks(60);
    UsePolicy(1);
    RunTicks(200);
    const TickReplay replay = Replay();
    ASSERT_TRUE(replay.first_difference.has_value());
    EXPECT_EQ(replay.first_difference->field, test.field);
    EXPECT_GE(replay.first_difference->tick_index, 150u);
    EXPECT_LT(replay.first_difference->tick_index, 180u);
    EXPECT_NE(replay.first_difference->recorded, replay.first_difference->replayed);
    EXPECT_GT(replay.num_different, 10);
    EXPECT_LT(replay.num_different, 130);
    panel_.RequestDisarm();
    RunTicks(1);
  }
}

TEST_F(ReplayTicksTest, DiffersWhereTheRandomStateOrTheEnvelopesStateDo) {
  Start();
  change_ = [](TickRecord& record) { record.random[0] ^= uint64_t{1} << 62; };
  Arm();
  RunTicks(100);
  TickReplay replay = Replay();
  ASSERT_TRUE(replay.first_difference.has_value());
  EXPECT_EQ(replay.first_difference->field, "action[0]");
  Start();
  change_ = [](TickRecord& record) { record.envelope[0] += 1000; };
  Arm();
  RunTicks(50);
  replay = Replay();
  ASSERT_TRUE(replay.first_difference.has_value());
  EXPECT_EQ(replay.first_difference->field, "commanded[0].torque_nm");
}

TEST_F(ReplayTicksTest, SkipsWhatItCannotComputeAndSaysWhy) {
  Start();
  RunAll();
  std::filesystem::remove(folder_ / "00000001" / "1.safetensors");
  const TickReplay replay = Replay([](const TickRecord&, std::span<JointCommand>) { return false; });
  EXPECT_EQ(replay.num_different, 0);
  EXPECT_EQ(replay.num_requests, 0);
  EXPECT_EQ(replay.num_commands, 331);
  EXPECT_GT(replay.num_actions, 100);
  ASSERT_EQ(replay.skipped.size(), 2u);
  EXPECT_EQ(replay.skipped.begin()->first.substr(0, 9), "policy 1:");
  EXPECT_GT(replay.skipped.begin()->second, 50);
}

}  // namespace
}  // namespace demorl
