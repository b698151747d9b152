// The driver and the emulator as they meet outside of tests: over a pseudo-terminal, in real time.
#include <algorithm>
#include <array>

#include "common/base/clock.h"
#include "common/robot/drivers/moteus/fdcanusb_port.h"
#include "common/robot/drivers/moteus/moteus_bus.h"
#include "common/robot/drivers/moteus/moteus_emulator.h"
#include "common/robot/drivers/moteus/moteus_faults.h"
#include "common/robot/emulation/emulator_server.h"
#include "common/robot/transport/serial_port.h"
#include "gmock/gmock.h"
#include "tests/testing/status_matchers.h"
#include "tests/unit/robot/moteus/emulated_stream.h"

namespace demorl {
namespace {

using ::demorl::testing::StatusIs;
using ::testing::Each;
using ::testing::Field;
using ::testing::HasSubstr;

constexpr absl::Duration kPatience = absl::Seconds(10);

class MoteusPtyTest : public ::testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    ASSERT_OK_AND_ASSIGN(server_, EmulatorServer::Start({}, {&emulator_}, &plant_));
    ASSERT_OK_AND_ASSIGN(std::unique_ptr<SerialPort> serial,
                         SerialPort::Open({.path = server_->path(0), .baud_rate = 921'600}));
    ASSERT_OK_AND_ASSIGN(
        bus_, MoteusBus::Create({.actuators = {{.id = 11}, {.id = 12}}, .reply_timeout = kPatience},
                                std::make_unique<FdcanusbPort>(FdcanusbOptions{.checksums = GetParam()},
                                                               std::move(serial))));
  }

  BusResult Read(absl::Duration patience = kPatience) {
    return bus_->Read(RealClock::Get().Now() + patience, measured_);
  }
  BusResult Write(const JointCommand& command) {
    return bus_->Write(std::array<JointCommand, 2>{command, command});
  }

  FreeBodies plant_{2, 0.5};
  MoteusEmulator emulator_{{.controllers = {{.id = 11, .joint = 0}, {.id = 12, .joint = 1}}}};
  std::unique_ptr<EmulatorServer> server_;
  std::unique_ptr<MoteusBus> bus_;
  std::array<JointMeasurement, 2> measured_;
};

TEST_P(MoteusPtyTest, IdentifiesAndMovesJoints) {
  ASSERT_OK_AND_ASSIGN(const std::vector<ActuatorInfo> infos, bus_->Identify());
  EXPECT_EQ(infos[1].id, 12);
  ASSERT_OK(bus_->Configure(absl::Seconds(30)));
  do {
    ASSERT_TRUE(Write({.mode = ActuatorMode::kTorque, .torque_nm = 2}).ok());
    ASSERT_TRUE(Read().ok());
  } while (std::min(measured_[0].position_rad, measured_[1].position_rad) < 0.01);
  EXPECT_GT(measured_[0].velocity_rad_s, 0);
  EXPECT_EQ(measured_[0].torque_nm, 2);
  ASSERT_TRUE(Write({.mode = ActuatorMode::kFree}).ok());
  ASSERT_TRUE(Read().ok());
  EXPECT_THAT(measured_, Each(Field(&JointMeasurement::fault, 0)));
  EXPECT_EQ(bus_->counters().bad_messages + bus_->counters().missing_replies, 0);
}

TEST_P(MoteusPtyTest, SilenceOfTheHostTripsTheWatchdog) {
  ASSERT_OK(bus_->Configure(absl::Milliseconds(20)));
  ASSERT_TRUE(Write({.mode = ActuatorMode::kTorque, .torque_nm = 0.1}).ok());
  do {
    ASSERT_TRUE(Read().ok());
  } while (measured_[0].fault == 0 || measured_[1].fault == 0);
  EXPECT_EQ(measured_[0].fault, kMoteusTimeoutFault);
  ASSERT_OK(bus_->ClearFaults());
  ASSERT_TRUE(Read().ok());
  EXPECT_EQ(measured_[0].fault, 0);
}

TEST_P(MoteusPtyTest, OutlastsFaultsOfTheWire) {
  server_->SetFaults(0, {.stuck = true});
  EXPECT_EQ(Read(absl::Milliseconds(3)).code, BusResult::Code::kIncomplete);
  EXPECT_EQ(bus_->counters().missing_replies, 2);
  server_->SetFaults(0, {.duplicate_replies = true, .babble_bytes = 20});
  for (int i = 0; i < 50; ++i) {
    Read(absl::Milliseconds(3));
  }
  server_->SetFaults(0, {});
  // What babbled may have cut the first answer.
  while (!Read(absl::Milliseconds(100)).ok()) {
  }
  EXPECT_GT(bus_->counters().late_or_duplicate_replies, 0);
  server_->SetFaults(0, {.reply_delay = absl::Hours(1)});
  EXPECT_EQ(Read(absl::Milliseconds(2)).code, BusResult::Code::kIncomplete);
}

TEST_P(MoteusPtyTest, APulledCableIsClosed) {
  ASSERT_TRUE(Read().ok());
  server_->SetFaults(0, {.unplugged = true});
  EXPECT_EQ(Read().code, BusResult::Code::kClosed);
  EXPECT_EQ(Write({.mode = ActuatorMode::kFree}).code, BusResult::Code::kClosed);
  EXPECT_THAT(bus_->Identify(), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("unplugged or closed")));
}

INSTANTIATE_TEST_SUITE_P(WithAndWithoutChecksums, MoteusPtyTest, ::testing::Bool());

}  // namespace
}  // namespace demorl
