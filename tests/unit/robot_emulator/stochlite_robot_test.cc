// The emulated StochLite as its drivers see it.
#include "services/robot_emulator/core/stochlite_robot.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <memory>
#include <vector>

#include "common/env/tasks/stochlite/attitude.h"
#include "common/env/tasks/stochlite/leg_kinematics.h"
#include "common/env/tasks/stochlite/trot_generator.h"
#include "common/robot/drivers/b3m/b3m_bus.h"
#include "common/robot/drivers/imu/xsens_imu.h"
#include "gmock/gmock.h"
#include "services/robot_emulator/core/mujoco_plant.h"
#include "tests/fakes/emulated_world.h"
#include "tests/testing/status_matchers.h"

namespace demorl {
namespace {

using ::demorl::testing::EmulatedWorld;
using stochlite::Attitude;
using stochlite::Gait;
using stochlite::kJointsPerLeg;
using stochlite::kNumJoints;
using stochlite::TrotGenerator;

constexpr absl::Duration kPeriod = absl::Milliseconds(10);

class EmulatedStochLiteTest : public ::testing::Test {
 protected:
  void Make(double slope_deg) {
    ASSERT_OK_AND_ASSIGN(robot_, MakeEmulatedStochLite({.slope_deg = slope_deg}));
    world_ = std::make_unique<EmulatedWorld>(robot_.plant.get());
    std::vector<std::unique_ptr<ByteStream>> wires;
    B3mOptions options;
    for (int wire = 0; wire < 4; ++wire) {
      wires.push_back(world_->Connect(robot_.devices[wire].get()));
    }
    for (int joint = 0; joint < kNumJoints; ++joint) {
      options.servos.push_back({.wire = joint / kJointsPerLeg, .id = static_cast<uint8_t>(joint + 1)});
    }
    ASSERT_OK_AND_ASSIGN(bus_, B3mBus::Create(options, std::move(wires), world_.get()));
    imu_ = std::make_unique<XsensImu>(XsensOptions{}, world_->Connect(robot_.devices[4].get()), world_.get());
    ASSERT_OK(imu_->Start());
    ASSERT_OK(bus_->Identify());
    ASSERT_OK(bus_->Configure(absl::ZeroDuration()));
    robot_.place();
    next_tick_ = world_->Now();
  }

  // One tick at 100 Hz: what a gateway does with its devices.
  void Tick(const std::vector<JointCommand>& commands) {
    EXPECT_TRUE(bus_->Read(next_tick_ + kPeriod, measurements_).ok());
    imu_->Poll(imu_sample_);
    EXPECT_TRUE(bus_->Write(commands).ok());
    next_tick_ += kPeriod;
    world_->Advance(next_tick_ - world_->Now());
  }

  void Free(absl::Duration duration) {
    for (; duration > absl::ZeroDuration(); duration -= kPeriod) {
      Tick(std::vector<JointCommand>(kNumJoints));
    }
  }

  void MoveTo(const std::array<double, kNumJoints>& positions_rad) {
    std::vector<JointCommand> commands;
    for (const double position : positions_rad) {
      commands.push_back({.mode = ActuatorMode::kPosition, .position_rad = position});
    }
    Tick(commands);
  }

  // From where the joints are to the stance.
  void StandUp(absl::Duration duration) {
    const std::array<double, kNumJoints> stance = stochlite::SolveLegs(TrotGenerator(0.01).feet_m());
    std::array<double, kNumJoints> from;
    for (int joint = 0; joint < kNumJoints; ++joint) {
      from[joint] = measurements_[joint].position_rad;
    }
    for (absl::Duration time; time <= duration; time += kPeriod) {
      std::array<double, kNumJoints> positions;
      for (int joint = 0; joint < kNumJoints; ++joint) {
        positions[joint] = std::lerp(from[joint], stance[joint], absl::FDivDuration(time, duration));
      }
      MoveTo(positions);
    }
  }

  // For five seconds, with the heading held by the IMU.
  void Walk(Gait gait) {
    TrotGenerator generator(0.01);
    for (int tick = 0; tick < 500; ++tick) {
      gait.yaw_rate_rad_s = -4 * MeasuredAttitude().yaw_rad;
      MoveTo(stochlite::SolveLegs(generator.Step(gait)));
    }
  }

  Attitude MeasuredAttitude() const { return stochlite::AttitudeFromQuaternion(imu_sample_.orientation); }
  const mjData& body() { return static_cast<MujocoPlant&>(*robot_.plant).data(); }

  EmulatedRobot robot_;
  std::unique_ptr<EmulatedWorld> world_;
  std::unique_ptr<B3mBus> bus_;
  std::unique_ptr<XsensImu> imu_;
  std::vector<JointMeasurement> measurements_{kNumJoints};
  ImuSample imu_sample_;
  absl::Duration next_tick_;
};

Gait Forward() {
  std::array<double, stochlite::kActionSize> action = {};
  action[12] = 1;
  return stochlite::GaitFromAction(action);
}

TEST_F(EmulatedStochLiteTest, WalksForwardByTheScriptedGait) {
  Make(0);
  Walk(Forward());
  EXPECT_GT(body().qpos[0], 1);
  EXPECT_NEAR(body().qpos[2], 0.255, 0.02);
  EXPECT_EQ(bus_->counters().missing_replies, 0);
}

TEST_F(EmulatedStochLiteTest, WalksUpASlope) {
  Make(5);
  Gait gait = Forward();
  for (auto& shift : gait.shift_m) {
    shift[0] = -0.02;
  }
  Walk(gait);
  EXPECT_GT(body().qpos[0], 0.7);
  EXPECT_GT(body().qpos[2], 0.25 + 0.05);
  EXPECT_LT(MeasuredAttitude().pitch_rad, -0.03);
}

TEST_F(EmulatedStochLiteTest, SinksWithoutPowerAndStandsUpAgain) {
  Make(0);
  Free(absl::Seconds(1));
  EXPECT_LT(body().qpos[2], 0.15);
  StandUp(absl::Seconds(2));
  EXPECT_NEAR(body().qpos[2], 0.255, 0.02);
}

TEST_F(EmulatedStochLiteTest, StandsUpFromWhereItSankInTheMiddleOfAStep) {
  Make(0);
  for (const int num_ticks : {100, 110, 130}) {
    robot_.place();
    TrotGenerator generator(0.01);
    for (int tick = 0; tick < num_ticks; ++tick) {
      MoveTo(stochlite::SolveLegs(generator.Step(Forward())));
    }
    Free(absl::Seconds(1));
    EXPECT_LT(body().qpos[2], 0.15);
    StandUp(absl::Seconds(2));
    EXPECT_NEAR(body().qpos[2], 0.255, 0.02) << num_ticks;
  }
}

TEST_F(EmulatedStochLiteTest, LiesOnItsSideUntilSomebodyPlacesIt) {
  Make(0);
  for (const int num_ticks : {10, 20, 30}) {
    robot_.place();
    TrotGenerator generator(0.01);
    for (int tick = 0; tick < num_ticks; ++tick) {
      MoveTo(stochlite::SolveLegs(generator.Step(Forward())));
    }
    robot_.topple();
    StandUp(absl::Seconds(3));
    EXPECT_GT(std::abs(MeasuredAttitude().roll_rad), 0.6) << num_ticks;
    robot_.place();
    StandUp(absl::Milliseconds(500));
    EXPECT_LT(std::abs(MeasuredAttitude().roll_rad), 0.05);
    EXPECT_NEAR(body().qpos[2], 0.255, 0.02);
  }
}

TEST_F(EmulatedStochLiteTest, JointsAreNumberedThroughTheLegs) {
  Make(0);
  for (int joint = 0; joint < kNumJoints; ++joint) {
    robot_.place();
    std::array<double, kNumJoints> stance = stochlite::SolveLegs(TrotGenerator(0.01).feet_m());
    stance[joint] += 0.1;
    static_cast<MujocoPlant&>(*robot_.plant).Place(stance);
    world_->Advance(absl::Milliseconds(1));
    ASSERT_TRUE(bus_->Read(world_->Now() + kPeriod, measurements_).ok());
    for (int other = 0; other < kNumJoints; ++other) {
      EXPECT_NEAR(measurements_[other].position_rad, stance[other], 0.02) << joint << " " << other;
    }
  }
}

TEST_F(EmulatedStochLiteTest, ItsImuFeelsWhereUpIs) {
  Make(10);
  for (int tick = 0; tick < 100; ++tick) {
    MoveTo(stochlite::SolveLegs(TrotGenerator(0.01).feet_m()));
  }
  const double slope_rad = std::asin(2 * imu_sample_.orientation[2] * imu_sample_.orientation[0]);
  EXPECT_NEAR(slope_rad, -0.1745, 0.02);
  EXPECT_NEAR(imu_sample_.acceleration_m_s2[0], 9.8 * std::sin(-slope_rad), 0.2) << "its nose is up";
  EXPECT_NEAR(imu_sample_.acceleration_m_s2[2], 9.8 * std::cos(slope_rad), 0.2);
  Free(absl::Milliseconds(50));
  EXPECT_LT(imu_sample_.acceleration_m_s2[2], 8) << "it falls";
}

TEST_F(EmulatedStochLiteTest, ItsImuFeelsTurningAboutTheTorsosAxes) {
  Make(0);
  // Turned to its left by a quarter, it rolls to its right.
  mjData& data = static_cast<MujocoPlant&>(*robot_.plant).data();
  const std::array<double, 7> pose = {0, 0, 1, std::sqrt(0.5), 0, 0, std::sqrt(0.5)};
  std::copy(pose.begin(), pose.end(), data.qpos);
  data.qvel[3] = 2;
  Free(absl::Milliseconds(30));
  EXPECT_NEAR(imu_sample_.angular_velocity_rad_s[0], 2, 0.5);
  EXPECT_NEAR(imu_sample_.angular_velocity_rad_s[1], 0, 0.5);
  EXPECT_NEAR(imu_sample_.acceleration_m_s2[2], 0, 1) << "in free fall";
  EXPECT_NEAR(MeasuredAttitude().yaw_rad, 1.57, 0.1);
  EXPECT_GT(MeasuredAttitude().roll_rad, 0.01);
}

}  // namespace
}  // namespace demorl
