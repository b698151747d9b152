// What every bus of servos on half-duplex wires does, whatever its protocol.

#include <functional>
#include <memory>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"
#include "tests/unit/robot/b3m/b3m_rig.h"
#include "tests/unit/robot/dynamixel/dynamixel_rig.h"

namespace demorl::testing {
namespace {

using ::testing::DoubleNear;
using ::testing::Each;
using ::testing::HasSubstr;

struct RigKind {
  std::string name;
  std::function<std::unique_ptr<ServoRig>()> make;
};

class ServoBusConformanceTest : public ::testing::TestWithParam<RigKind> {
 protected:
  const std::unique_ptr<ServoRig> rig_ = GetParam().make();
  EmulatedWorld& world_ = rig_->world;
};

INSTANTIATE_TEST_SUITE_P(
    Buses, ServoBusConformanceTest,
    ::testing::Values(RigKind{"B3mOnOne", [] { return std::make_unique<B3mRig>(1); }},
                      RigKind{"B3mOnFour", [] { return std::make_unique<B3mRig>(4); }},
                      RigKind{"DynamixelFast", [] { return std::make_unique<DynamixelRig>(1, 46); }},
                      RigKind{"DynamixelOld", [] { return std::make_unique<DynamixelRig>(1, 44); }},
                      RigKind{"DynamixelFastOnTwo", [] { return std::make_unique<DynamixelRig>(2, 46); }}),
    [](const auto& info) { return info.param.name; });

TEST_P(ServoBusConformanceTest, TurnsTorquesIntoMotion) {
  rig_->Configure();
  rig_->RunTicks(3, rig_->AllOf(Torque(0.05)));
  EXPECT_THAT(world_.torques_nm, Each(DoubleNear(0.05, rig_->torque_unit_nm())));
  EXPECT_GT(world_.plant.velocity_rad_s(4), 0);
  rig_->Read();
  EXPECT_NEAR(rig_->measurements[3].torque_nm, 0.05, rig_->torque_unit_nm());
}

TEST_P(ServoBusConformanceTest, NeverTalksWhileAReplyIsDue) {
  rig_->Configure();
  rig_->RunTicks(30, rig_->AllOf(Torque(0.01)));
  EXPECT_EQ(rig_->num_collisions(), 0);
  const BusCounters counters = rig_->any_bus().counters();
  EXPECT_EQ(counters.missing_replies, 0);
  EXPECT_EQ(counters.late_or_duplicate_replies, 0);
  EXPECT_EQ(counters.skipped_bytes, 0);
}

TEST_P(ServoBusConformanceTest, AStuckWireIsIncompleteAndTellsInTime) {
  rig_->Configure();
  world_.wire(0).faults.stuck = true;
  const absl::Duration start = world_.Now();
  EXPECT_EQ(rig_->Read(absl::Milliseconds(5)), BusResult::Code::kIncomplete);
  EXPECT_LE(world_.Now(), start + absl::Milliseconds(5));
  EXPECT_EQ(rig_->num_fresh(), rig_->num_others());
}

TEST_P(ServoBusConformanceTest, AnUnpluggedWireIsClosedAndStaysSo) {
  rig_->Configure();
  world_.wire(0).faults.unplugged = true;
  EXPECT_EQ(rig_->Read(), BusResult::Code::kClosed);
  EXPECT_EQ(rig_->any_bus().Write(rig_->AllOf(Torque(0.1))).code, BusResult::Code::kClosed);
  EXPECT_EQ(rig_->num_fresh(), rig_->num_others());
  world_.wire(0).faults.unplugged = false;
  EXPECT_EQ(rig_->Read(), BusResult::Code::kClosed);
  EXPECT_THAT(rig_->any_bus().Identify().status(),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("unplugged")));
}

TEST_P(ServoBusConformanceTest, AWrongIdIsNamed) {
  rig_->SetId(4, 77);
  rig_->MakeBus();
  EXPECT_THAT(rig_->any_bus().Identify().status(),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("servo 77 on wire")));
  EXPECT_THAT(rig_->any_bus().Configure(absl::ZeroDuration()),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("no reply")));
}

TEST_P(ServoBusConformanceTest, DuplicateRepliesAreCountedAndHarmless) {
  rig_->Configure();
  for (int joint = 0; joint < rig_->num_joints(); ++joint) {
    world_.plant.Place(joint, 0.1 * joint, 0);
  }
  world_.Advance(absl::Milliseconds(1));
  world_.wire(0).faults.duplicate_replies = true;
  constexpr int kReads = 5;
  for (int i = 0; i < kReads; ++i) {
    EXPECT_EQ(rig_->Read(), BusResult::Code::kOk);
    for (int joint = 0; joint < rig_->num_joints(); ++joint) {
      EXPECT_NEAR(rig_->measurements[joint].position_rad, 0.1 * joint, rig_->position_unit_rad());
    }
  }
  // The last one's may still be on its way.
  EXPECT_GE(rig_->any_bus().counters().late_or_duplicate_replies, kReads * rig_->requests_per_wire() - 1);
}

TEST_P(ServoBusConformanceTest, CorruptedRepliesAreMissing) {
  rig_->Configure();
  world_.wire(0).faults.corrupted_share = 1;
  EXPECT_EQ(rig_->Read(absl::Milliseconds(30)), BusResult::Code::kIncomplete);
  EXPECT_EQ(rig_->num_fresh(), rig_->num_others());
  const BusCounters counters = rig_->any_bus().counters();
  EXPECT_GE(counters.missing_replies, rig_->joints_per_wire());
  EXPECT_GT(counters.bad_messages + counters.skipped_bytes, 0);
}

TEST_P(ServoBusConformanceTest, RepliesOfForeignServosAreBadMessages) {
  rig_->Configure();
  world_.wire(0).inbox = rig_->ForeignReply();
  EXPECT_EQ(rig_->Read(), BusResult::Code::kOk);
  EXPECT_EQ(rig_->any_bus().counters().bad_messages, 1);
}

TEST_P(ServoBusConformanceTest, AnAdapterThatEchoesIsUnderstoodIfAnnounced) {
  rig_->SetEcho();
  rig_->MakeBus();
  for (int wire = 0; wire < rig_->num_wires(); ++wire) {
    world_.wire(wire).echoes = true;
  }
  ASSERT_OK(rig_->any_bus().Configure(absl::ZeroDuration()));
  rig_->RunTicks(5, rig_->AllOf(Torque(0.01)));
  EXPECT_EQ(rig_->num_fresh(), rig_->num_joints());
  EXPECT_EQ(rig_->any_bus().counters().bad_messages, 0);
  EXPECT_EQ(rig_->any_bus().counters().late_or_duplicate_replies, 0);
}

TEST_P(ServoBusConformanceTest, AnEchoThatWasNotAnnouncedIsNoReply) {
  rig_->Configure();
  world_.wire(0).echoes = true;
  EXPECT_EQ(rig_->Read(), BusResult::Code::kOk);
  EXPECT_GE(rig_->any_bus().counters().bad_messages, rig_->requests_per_wire());
}

TEST_P(ServoBusConformanceTest, FinishesAPacketThatTheStreamTookInPart) {
  rig_->Configure();
  rig_->RunTicks(5, rig_->AllOf(Torque(0.1)));
  world_.wire(0).max_write_bytes = 5;
  rig_->any_bus().Write(rig_->AllOf(Torque(0.2)));
  world_.wire(0).max_write_bytes = 1000;
  rig_->any_bus().Write(rig_->AllOf(Torque(0.3)));
  world_.Advance(absl::Milliseconds(1));
  EXPECT_THAT(world_.torques_nm, Each(DoubleNear(0.3, rig_->torque_unit_nm())));
}

TEST_P(ServoBusConformanceTest, AFullStreamIsIncomplete) {
  rig_->Configure();
  world_.wire(0).max_write_bytes = 0;
  EXPECT_EQ(rig_->any_bus().Write(rig_->AllOf(Torque(0.02))).code, BusResult::Code::kIncomplete);
}

}  // namespace
}  // namespace demorl::testing
