// The twin driven by a control loop with the task and the limits of the robot's configuration.
#include <string>
#include <vector>

#include "common/config/loader.h"
#include "common/robot/control/robot_loop.h"
#include "demorl/config/v1/run.pb.h"
#include "gmock/gmock.h"
#include "services/robot_gateway/core/robot_setup.h"
#include "services/stochlite_gateway/core/stochlite_robot_task.h"
#include "tests/testing/status_matchers.h"
#include "tests/unit/stochlite_gateway/twin_robot.h"

namespace demorl {
namespace {

using ::demorl::testing::TwinRobot;
using stochlite::kNumJoints;

constexpr absl::Duration kPeriod = absl::Milliseconds(10);

// Its servos and its IMU.
class TwinBus final : public ActuatorBus {
 public:
  explicit TwinBus(TwinRobot* robot) : commands(kNumJoints), robot_(*robot) {}

  int num_joints() const override { return kNumJoints; }
  absl::StatusOr<std::vector<ActuatorInfo>> Identify() override {
    return std::vector<ActuatorInfo>(kNumJoints);
  }
  absl::Status Configure(absl::Duration) override { return absl::OkStatus(); }
  absl::Status ClearFaults() override { return absl::OkStatus(); }
  BusResult Read(absl::Duration, std::span<JointMeasurement> measurements) override {
    std::ranges::copy(robot_.Measure().joints, measurements.begin());
    return {};
  }
  BusResult Write(std::span<const JointCommand> written) override {
    std::ranges::copy(written, commands.begin());
    return {};
  }
  BusCounters counters() const override { return {}; }
  std::string DescribeFault(uint32_t) const override { return "none"; }

  std::vector<JointCommand> commands;

 private:
  TwinRobot& robot_;
};

class TwinImu final : public Imu {
 public:
  explicit TwinImu(TwinRobot* robot) : robot_(*robot) {}

  absl::Status Start() override { return absl::OkStatus(); }
  bool Poll(ImuSample& sample) override {
    sample = *robot_.Measure().imu;
    sample.time = time;
    return true;
  }
  ImuCounters counters() const override { return {}; }

  absl::Duration time;

 private:
  TwinRobot& robot_;
};

class StochLiteLoopTest : public ::testing::TestWithParam<std::string> {
 protected:
  StochLiteLoopTest() : bus_(&robot_), imu_(&robot_), records_(8) {
    demorl::config::v1::RunConfig config;
    EXPECT_OK(MergeTextProtoFile(std::string(DEMORL_ROBOTS) + "/" + GetParam(), &config));
    panel_.SetLeaseExpiry(absl::Hours(1));
    loop_ = std::make_unique<RobotLoop>(LoopOptionsOf(config.robot(), kPeriod),
                                        RobotLoop::Parts{.task = task_.get(),
                                                         .bus = &bus_,
                                                         .imu = &imu_,
                                                         .panel = &panel_,
                                                         .records = &records_,
                                                         .limits = LimitsOf(config.robot())},
                                        /*seed=*/1);
  }

  const TickRecord& RunTick() {
    tick_.index += 1;
    tick_.scheduled += kPeriod;
    tick_.woke = imu_.time = tick_.scheduled;
    loop_->RunTick(tick_);
    EXPECT_TRUE(records_.TryPop(record_));
    robot_.Advance(bus_.commands);
    return record_;
  }

  TwinRobot robot_;
  TwinBus bus_;
  TwinImu imu_;
  const std::unique_ptr<StochLiteRobotTask> task_ = *StochLiteRobotTask::Create("StochLite-v0");
  OperatorPanel panel_;
  SpscRing<TickRecord> records_;
  std::unique_ptr<RobotLoop> loop_;
  Tick tick_;
  TickRecord record_;
};

INSTANTIATE_TEST_SUITE_P(Robots, StochLiteLoopTest,
                         ::testing::Values("stochlite.textproto", "stochlite_emulated.textproto"),
                         [](const auto& info) {
                           return info.param == "stochlite.textproto" ? "Real" : "Emulated";
                         });

TEST_P(StochLiteLoopTest, ExploresForWholeEpisodesWithinItsLimits) {
  RunTick();
  panel_.RequestArm(ArmMode::kLearn);
  std::vector<int> episode_steps;
  for (int i = 0; i < 3000 && episode_steps.size() < 2; ++i) {
    RunTick();
    ASSERT_NE(record_.state, RobotState::kFault) << static_cast<int>(record_.reason);
    EXPECT_EQ(record_.clamps[static_cast<size_t>(Clamp::kPosition)], 0);
    if (record_.step == TickStep::kFirst) {
      episode_steps.push_back(0);
    } else if (record_.step != TickStep::kNone) {
      ++episode_steps.back();
      EXPECT_FALSE(record_.terminated);
    }
  }
  // The second one has begun.
  EXPECT_THAT(episode_steps, ::testing::ElementsAre(1000, 0));
}

TEST_P(StochLiteLoopTest, WaitsWithAnEpisodeUntilItIsSetOnItsFeet) {
  const std::vector<double> limp = {0, 0.8, -1.6, 0, 0.8, -1.6, 0, 0.8, -1.6, 0, 0.8, -1.6};
  robot_.Place(0.15, {.roll_rad = 1.4}, limp);
  for (int i = 0; i < 100; ++i) {
    RunTick();
  }
  EXPECT_EQ(record_.finding, StopReason::kNone);
  panel_.RequestArm(ArmMode::kLearn);
  for (int i = 0; i < 1000; ++i) {
    ASSERT_EQ(RunTick().step, TickStep::kNone);
  }
  ASSERT_EQ(record_.state, RobotState::kArmed);
  robot_.Place(0.26, {}, limp);
  bool begun = false;
  for (int i = 0; i < 300 && !begun; ++i) {
    begun = RunTick().step == TickStep::kFirst;
  }
  EXPECT_TRUE(begun);
}

}  // namespace
}  // namespace demorl
