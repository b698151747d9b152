#include "services/stochlite_gateway/core/stochlite_setup.h"

#include <string>

#include "common/config/loader.h"
#include "common/env/tasks/stochlite/legs.h"
#include "demorl/config/v1/run.pb.h"
#include "gmock/gmock.h"
#include "services/robot_gateway/core/robot_setup.h"
#include "tests/testing/status_matchers.h"

namespace demorl {
namespace {

using demorl::config::v1::RobotSetup;
using ::demorl::testing::StatusIs;
using ::testing::HasSubstr;

RobotSetup Load(const std::string& name) {
  demorl::config::v1::RunConfig config;
  EXPECT_OK(MergeTextProtoFile(std::string(DEMORL_ROBOTS) + "/" + name, &config));
  EXPECT_OK(ValidateRanges(config));
  return config.robot();
}

TEST(StochLiteSetupTest, TheConfigurationsOfTheRobotAndOfTheEmulatedOneAreComplete) {
  for (const std::string name : {"stochlite.textproto", "stochlite_emulated.textproto"}) {
    const RobotSetup setup = Load(name);
    EXPECT_OK(CheckStochLiteSetup(setup)) << name;
    EXPECT_OK(CheckRobotSetup(setup, stochlite::kNumJoints)) << name;
  }
}

TEST(StochLiteSetupTest, EachLegHasAWireOfItsOwnAndServosCountOn) {
  const RobotSetup setup = Load("stochlite.textproto");
  ASSERT_EQ(setup.bus().ports_size(), stochlite::kNumLegs);
  for (int i = 0; i < setup.joints_size(); ++i) {
    EXPECT_EQ(setup.joints(i).port(), i / stochlite::kJointsPerLeg);
    EXPECT_EQ(setup.joints(i).actuator_id(), i + 1);
  }
}

TEST(StochLiteSetupTest, RefusesARobotWithoutAnImu) {
  RobotSetup setup = Load("stochlite.textproto");
  setup.clear_imu();
  EXPECT_THAT(CheckStochLiteSetup(setup),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("robot.imu is not set")));
}

TEST(StochLiteSetupTest, RefusesAnotherNumberOfJoints) {
  RobotSetup setup = Load("stochlite.textproto");
  setup.mutable_joints()->RemoveLast();
  EXPECT_THAT(CheckStochLiteSetup(setup),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("robot.joints has 11 entries; StochLite has 12 joints")));
}

TEST(StochLiteSetupTest, RefusesJointsInAnotherOrder) {
  RobotSetup setup = Load("stochlite.textproto");
  setup.mutable_joints()->SwapElements(1, 2);
  EXPECT_THAT(CheckStochLiteSetup(setup),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("robot.joints[1] has the name \"fl_knee\"; want \"fl_hip\"")));
}

}  // namespace
}  // namespace demorl
