// The task on a robot that is the twin: what it commands makes the robot stand up and walk.
#include "services/stochlite_gateway/core/stochlite_robot_task.h"

#include <cmath>
#include <numbers>
#include <vector>

#include "common/env/registry.h"
#include "gmock/gmock.h"
#include "tests/testing/counting_allocator.h"
#include "tests/testing/status_matchers.h"
#include "tests/unit/stochlite_gateway/twin_robot.h"

namespace demorl {
namespace {

using ::demorl::testing::StatusIs;
using ::demorl::testing::TwinRobot;
using stochlite::kActionSize;
using stochlite::kNumJoints;
using ::testing::HasSubstr;

constexpr double kDegree = std::numbers::pi / 180;
constexpr absl::Duration kPeriod = absl::Milliseconds(10);

std::vector<double> AllLegs(double abduction_rad, double hip_rad, double knee_rad) {
  std::vector<double> joints;
  for (int leg = 0; leg < stochlite::kNumLegs; ++leg) {
    joints.insert(joints.end(), {abduction_rad, hip_rad, knee_rad});
  }
  return joints;
}

// A task and the robot that it drives, tick by tick as a control loop would.
class Drive {
 public:
  explicit Drive(TwinRobot* robot, const std::string& environment_id = "StochLite-v0")
      : robot_(*robot),
        task_(*StochLiteRobotTask::Create(environment_id)),
        commands_(kNumJoints),
        observation_(task_->spec().observation_size) {}

  StochLiteRobotTask& task() { return *task_; }
  std::vector<JointCommand>& commands() { return commands_; }
  const std::vector<float>& observation() const { return observation_; }

  // Whether the robot got to its stance, and after how long.
  bool Reset(absl::Duration patience, absl::Duration* took = nullptr) {
    for (absl::Duration under_way; under_way < patience; under_way += kPeriod) {
      if (task_->Reset(robot_.Measure(), under_way, commands_)) {
        if (took != nullptr) {
          *took = under_way;
        }
        return true;
      }
      robot_.Advance(commands_);
    }
    return false;
  }

  void Begin() {
    task_->BeginEpisode(robot_.Measure(), random_);
    task_->Observe(robot_.Measure(), observation_);
  }

  RobotTask::Outcome Step(std::span<const float> action) {
    task_->Command(robot_.Measure(), action, commands_);
    robot_.Advance(commands_);
    const RobotMeasurement measurement = robot_.Measure();
    const RobotTask::Outcome outcome = task_->Evaluate(measurement, 1);
    task_->Observe(measurement, observation_);
    return outcome;
  }

 private:
  TwinRobot& robot_;
  const std::unique_ptr<StochLiteRobotTask> task_;
  Random random_{7};
  std::vector<JointCommand> commands_;
  std::vector<float> observation_;
};

// Straight ahead, holding the heading.
std::vector<float> WalkAction(const stochlite::TaskState& state, double x_shift = 0) {
  std::vector<float> action(kActionSize);
  std::fill_n(action.begin(), 4, static_cast<float>(x_shift));
  action[12] = 1;
  action[14] = static_cast<float>(-2 * state.attitude.yaw_rad);
  return action;
}

TEST(StochLiteRobotTaskTest, ItsSpecificationIsThatOfTheTwin) {
  for (const stochlite::StochLiteVariant& variant : stochlite::StochLiteVariants()) {
    ASSERT_OK_AND_ASSIGN(const auto task, StochLiteRobotTask::Create(variant.environment_id));
    ASSERT_OK_AND_ASSIGN(const EnvironmentSpec twin, GetEnvironmentSpec(variant.environment_id));
    EXPECT_EQ(task->spec().SchemaHash(), twin.SchemaHash());
    EXPECT_EQ(task->num_joints(), 12);
    EXPECT_EQ(task->spec().control_period, kPeriod);
  }
}

TEST(StochLiteRobotTaskTest, RefusesTheTaskOfAnotherRobot) {
  EXPECT_THAT(StochLiteRobotTask::Create("Leg2R-v0"),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("known are StochLite-v0")));
}

TEST(StochLiteRobotTaskTest, StandsUpFromItsBellyInAboutASecond) {
  TwinRobot robot;
  robot.Place(0.08, {}, AllLegs(0, 1.3, -2.5));
  Drive drive(&robot);
  absl::Duration took;
  ASSERT_TRUE(drive.Reset(absl::Seconds(3), &took));
  EXPECT_LT(took, absl::Seconds(1.6));
  EXPECT_NEAR(robot.height_m(), 0.255, 0.01);
}

TEST(StochLiteRobotTaskTest, LeadsTheLegsWithoutAJump) {
  TwinRobot robot;
  robot.Place(0.3, {}, AllLegs(0.5, -1, -0.5));
  Drive drive(&robot);
  auto& task = drive.task();
  std::vector<JointCommand>& commands = drive.commands();
  const RobotMeasurement measurement = robot.Measure();
  std::vector<double> last_rad;
  for (const JointMeasurement& joint : measurement.joints) {
    last_rad.push_back(joint.position_rad);
  }
  double fastest_rad_s = 0;
  for (absl::Duration under_way; under_way < absl::Seconds(3); under_way += kPeriod) {
    task.Reset(measurement, under_way, commands);
    for (int i = 0; i < kNumJoints; ++i) {
      EXPECT_EQ(commands[i].mode, ActuatorMode::kPosition);
      fastest_rad_s = std::max(fastest_rad_s, std::abs(commands[i].position_rad - last_rad[i]) / 0.01);
      last_rad[i] = commands[i].position_rad;
    }
  }
  EXPECT_GT(fastest_rad_s, 1.5);
  EXPECT_LT(fastest_rad_s, 2.01);
}

TEST(StochLiteRobotTaskTest, ARobotOnItsSideIsNotThere) {
  TwinRobot robot;
  robot.Place(0.15, {.roll_rad = 80 * kDegree}, AllLegs(0, 0.8, -1.6));
  Drive drive(&robot);
  EXPECT_FALSE(drive.Reset(absl::Seconds(4)));
}

TEST(StochLiteRobotTaskTest, CommandsWhatTheTwinsServosAreCommanded) {
  stochlite::TwinOptions options;
  auto twin =
      *stochlite::StochLiteEnvironment::Create(stochlite::TwinSpec("twin", options.observation), 1, options);
  twin->Reset();
  TwinRobot robot;
  Drive drive(&robot);
  drive.Begin();
  Random random(3);
  for (int step = 0; step < 300; ++step) {
    std::vector<double> action(kActionSize);
    std::vector<float> same(kActionSize);
    for (int i = 0; i < kActionSize; ++i) {
      same[i] = static_cast<float>(random.Uniform(-1, 1));
      action[i] = same[i];
    }
    twin->Step(action);
    drive.Step(same);
    for (int joint = 0; joint < kNumJoints; ++joint) {
      EXPECT_EQ(drive.commands()[joint].position_rad, twin->data().ctrl[joint]);
    }
  }
}

struct Walk {
  int num_steps = 0;
  bool terminated = false;
  double mean_reward = 0;
};

Walk WalkFor(Drive& drive, int num_steps, double x_shift = 0) {
  Walk walk;
  while (walk.num_steps < num_steps && !walk.terminated) {
    const RobotTask::Outcome outcome = drive.Step(WalkAction(drive.task().state(), x_shift));
    walk.mean_reward += outcome.reward;
    walk.terminated = outcome.terminated;
    ++walk.num_steps;
  }
  walk.mean_reward /= walk.num_steps;
  return walk;
}

TEST(StochLiteRobotTaskTest, StandsUpAndWalksTwoMetresUnderAnActionByHand) {
  TwinRobot robot;
  robot.Place(0.08, {}, AllLegs(0, 1.3, -2.5));
  Drive drive(&robot);
  ASSERT_TRUE(drive.Reset(absl::Seconds(3)));
  drive.Begin();
  const Walk walk = WalkFor(drive, 1000);
  EXPECT_FALSE(walk.terminated);
  EXPECT_GT(robot.x_m(), 2);
}

TEST(StochLiteRobotTaskTest, ItsRewardIsNearThatOfTheTwin) {
  for (const double pitch : {0.0, -5 * kDegree}) {
    const std::string id = pitch == 0 ? "level" : "StochLiteSlope5-v0";
    const double x_shift = pitch == 0 ? 0 : -0.2;
    stochlite::TwinOptions options;
    options.randomisation.slope.pitch_rad = pitch;
    auto twin = *stochlite::StochLiteEnvironment::Create(stochlite::TwinSpec("twin", options.observation), 1,
                                                         options);
    twin->Reset();
    double twin_reward = 0;
    for (int step = 0; step < 1000; ++step) {
      const std::vector<float> action = WalkAction(twin->task_state(), x_shift);
      twin_reward += twin->Step(std::vector<double>(action.begin(), action.end())).reward / 1000;
    }
    // Asks for 0.5 m/s, as these options of the twin.
    TwinRobot robot(options.randomisation.slope);
    Drive drive(&robot, "StochLiteSlope5-v0");
    drive.Begin();
    const Walk walk = WalkFor(drive, 1000, x_shift);
    EXPECT_FALSE(walk.terminated);
    EXPECT_NEAR(walk.mean_reward, twin_reward, 0.05 * twin_reward) << id;
  }
}

TEST(StochLiteRobotTaskTest, AsksForTheSpeedsThatTheTwinDraws) {
  constexpr char kId[] = "StochLiteRobust-v0";
  TwinRobot robot;
  Drive drive(&robot, kId);
  Random random(1);
  ASSERT_OK_AND_ASSIGN(const stochlite::TwinOptions options, stochlite::FindStochLiteOptions(kId));
  double slowest = 1, fastest = 0;
  for (int episode = 0; episode < 50; ++episode) {
    Random copy = random;
    drive.task().BeginEpisode(robot.Measure(), random);
    const double forward_m_s = drive.task().state().command.forward_m_s;
    EXPECT_EQ(forward_m_s, DrawEpisode(options.randomisation, copy).command.forward_m_s);
    slowest = std::min(slowest, forward_m_s);
    fastest = std::max(fastest, forward_m_s);
  }
  EXPECT_LT(slowest, 0.3);
  EXPECT_GT(fastest, 0.4);
}

TEST(StochLiteRobotTaskTest, HeadingCountsFromTheStartOfTheEpisode) {
  TwinRobot robot;
  robot.Place(0.255, {.yaw_rad = 2.5}, AllLegs(0, 0.8, -1.5));
  Drive drive(&robot);
  drive.Begin();
  EXPECT_NEAR(drive.task().state().attitude.yaw_rad, 0, 1e-9);
  robot.Place(0.255, {.yaw_rad = -2.5}, AllLegs(0, 0.8, -1.5));
  drive.task().Evaluate(robot.Measure(), 1);
  EXPECT_NEAR(drive.task().state().attitude.yaw_rad, 2 * std::numbers::pi - 5, 1e-9);
}

TEST(StochLiteRobotTaskTest, AFallTerminatesWithoutReward) {
  TwinRobot robot;
  Drive drive(&robot);
  drive.Begin();
  EXPECT_FALSE(drive.Step(std::vector<float>(kActionSize)).terminated);
  robot.Place(0.2, {.roll_rad = 33 * kDegree}, AllLegs(0, 0.8, -1.5));
  const RobotTask::Outcome outcome = drive.task().Evaluate(robot.Measure(), 1);
  EXPECT_TRUE(outcome.terminated);
  EXPECT_EQ(outcome.reward, 0);
}

TEST(StochLiteRobotTaskTest, TicksThatWereMissedDoNotMoveTheFeetOn) {
  TwinRobot robot;
  Drive drive(&robot), steady(&robot);
  drive.Begin();
  steady.Begin();
  const std::vector<float> action(kActionSize, 0.2F);
  for (Drive* each : {&drive, &steady}) {
    each->task().Command(robot.Measure(), action, each->commands());
    each->task().Evaluate(robot.Measure(), each == &drive ? 4 : 1);
    each->task().Command(robot.Measure(), action, each->commands());
  }
  for (int joint = 0; joint < kNumJoints; ++joint) {
    EXPECT_EQ(drive.commands()[joint].position_rad, steady.commands()[joint].position_rad);
  }
}

TEST(StochLiteRobotTaskTest, AllocatesNothing) {
  if (!CountsAllocations()) {
    GTEST_SKIP();
  }
  TwinRobot robot;
  for (const char* id : {"StochLite-v0", "StochLiteAuthors-v0"}) {
    Drive drive(&robot, id);
    const RobotMeasurement measurement = robot.Measure();
    Random random(1);
    std::vector<float> observation(drive.task().spec().observation_size);
    const std::vector<float> action(kActionSize, 0.1F);
    const int64_t before = NumAllocations();
    drive.task().Reset(measurement, absl::ZeroDuration(), drive.commands());
    drive.task().Reset(measurement, absl::Seconds(2), drive.commands());
    drive.task().BeginEpisode(measurement, random);
    drive.task().Observe(measurement, observation);
    drive.task().Command(measurement, action, drive.commands());
    drive.task().Evaluate(measurement, 2);
    EXPECT_EQ(NumAllocations() - before, 0);
  }
}

}  // namespace
}  // namespace demorl
