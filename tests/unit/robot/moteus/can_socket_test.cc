#include "common/robot/transport/can_socket.h"

#include <fcntl.h>
#include <linux/can.h>
#include <sys/socket.h>
#include <unistd.h>

#include <thread>

#include "common/base/clock.h"
#include "common/robot/drivers/moteus/emulated_moteus.h"
#include "common/robot/drivers/moteus/moteus_bus.h"
#include "gmock/gmock.h"
#include "tests/testing/status_matchers.h"

namespace demorl {
namespace {

using ::demorl::testing::StatusIs;
using ::testing::AnyOf;
using ::testing::HasSubstr;

absl::Duration In(absl::Duration delay) { return RealClock::Get().Now() + delay; }

// A SocketCAN socket as far as its frames go: message boundaries are kept.
class CanSocketTest : public ::testing::Test {
 protected:
  void SetUp() override {
    int ends[2];
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    socket_ = CanSocket::FromDescriptor(ends[0]);
    bus_ = ends[1];
  }
  void TearDown() override { ClosePeer(); }
  void ClosePeer() {
    if (bus_ >= 0) {
      close(bus_);
    }
    bus_ = -1;
  }

  void Deliver(const void* bytes, size_t size) {
    ASSERT_EQ(send(bus_, bytes, size, 0), static_cast<ssize_t>(size));
  }

  std::unique_ptr<CanSocket> socket_;
  int bus_ = -1;
};

TEST_F(CanSocketTest, SendsCanFdFramesWithRateSwitch) {
  CanFrame frame{.id = 0x123, .size = 9};
  frame.data[8] = 0xab;
  ASSERT_TRUE(socket_->Send(frame).ok());
  canfd_frame wire;
  ASSERT_EQ(recv(bus_, &wire, sizeof(wire), 0), static_cast<ssize_t>(CANFD_MTU));
  EXPECT_EQ(wire.can_id, 0x123);
  EXPECT_EQ(wire.len, 12);
  EXPECT_EQ(wire.flags, CANFD_BRS);
  EXPECT_EQ(wire.data[8], 0xab);
  frame.id = 0x8001;
  ASSERT_TRUE(socket_->Send(frame).ok());
  ASSERT_EQ(recv(bus_, &wire, sizeof(wire), 0), static_cast<ssize_t>(CANFD_MTU));
  EXPECT_EQ(wire.can_id, 0x8001 | CAN_EFF_FLAG);
}

TEST_F(CanSocketTest, ReceivesFdAndClassicFrames) {
  canfd_frame fd = {.can_id = 0x8001 | CAN_EFF_FLAG, .len = 64};
  fd.data[63] = 7;
  Deliver(&fd, CANFD_MTU);
  can_frame classic = {};
  classic.can_id = 0x100;
  classic.can_dlc = 3;
  classic.data[2] = 5;
  Deliver(&classic, CAN_MTU);
  CanFrame frame;
  ASSERT_TRUE(socket_->Receive(frame, In(absl::Seconds(10))).ok());
  EXPECT_EQ(frame.id, 0x8001);
  EXPECT_EQ(frame.size, 64);
  EXPECT_EQ(frame.data[63], 7);
  ASSERT_TRUE(socket_->Receive(frame, In(absl::Seconds(10))).ok());
  EXPECT_EQ(frame.id, 0x100);
  EXPECT_EQ(frame.size, 3);
  EXPECT_EQ(frame.data[2], 5);
}

TEST_F(CanSocketTest, CountsWhatIsNoDataFrame) {
  canfd_frame wire = {.can_id = 0x100, .len = 65};
  Deliver(&wire, CANFD_MTU);
  wire = {.can_id = 0x100 | CAN_ERR_FLAG, .len = 8};
  Deliver(&wire, CAN_MTU);
  wire = {.can_id = 0x100 | CAN_RTR_FLAG};
  Deliver(&wire, CAN_MTU);
  wire = {.can_id = 0x100, .len = 9};
  Deliver(&wire, CAN_MTU);
  wire = {.can_id = 0x100};
  Deliver(&wire, 10);
  std::array<uint8_t, 200> too_long = {};
  Deliver(too_long.data(), too_long.size());
  wire = {.can_id = 0x101, .len = 1};
  Deliver(&wire, CANFD_MTU);
  CanFrame frame;
  ASSERT_TRUE(socket_->Receive(frame, In(absl::Seconds(10))).ok());
  EXPECT_EQ(frame.id, 0x101);
  EXPECT_EQ(socket_->counters().bad_messages, 6);
}

TEST_F(CanSocketTest, TimesOutAndSeesTheOtherEndGo) {
  CanFrame frame;
  EXPECT_EQ(socket_->Receive(frame, absl::ZeroDuration()).code, IoResult::Code::kTimedOut);
  const absl::Duration deadline = In(absl::Milliseconds(5));
  EXPECT_EQ(socket_->Receive(frame, deadline).code, IoResult::Code::kTimedOut);
  EXPECT_GE(RealClock::Get().Now(), deadline);
  ClosePeer();
  EXPECT_EQ(socket_->Receive(frame, In(absl::Seconds(10))).code, IoResult::Code::kClosed);
  EXPECT_EQ(socket_->Send(frame).code, IoResult::Code::kClosed);
}

TEST_F(CanSocketTest, AFullQueueTakesNoFrame) {
  IoResult sent;
  for (int i = 0; i < 1'000'000 && sent.ok(); ++i) {
    sent = socket_->Send({.id = 1});
  }
  EXPECT_EQ(sent.code, IoResult::Code::kTimedOut);
}

TEST(CanSocketOpenTest, SaysWhatIsMissing) {
  EXPECT_THAT(CanSocket::Open("nocan7").status(),
              AnyOf(StatusIs(absl::StatusCode::kUnavailable, HasSubstr("this kernel has no SocketCAN")),
                    StatusIs(absl::StatusCode::kNotFound, HasSubstr("nocan7"))));
}

// The driver does not know which way its frames take.
TEST_F(CanSocketTest, CarriesTheMoteusDriver) {
  std::thread device([bus = bus_] {
    EmulatedMoteus controller({.id = 3});
    controller.Step(absl::ZeroDuration(), 0.75, 0);
    canfd_frame wire;
    while (recv(bus, &wire, sizeof(wire), 0) == static_cast<ssize_t>(CANFD_MTU)) {
      CanFrame frame{.id = wire.can_id & CAN_EFF_MASK, .size = wire.len};
      std::copy_n(wire.data, wire.len, frame.data.begin());
      if (CanFrame reply; controller.Handle(frame, absl::ZeroDuration(), reply)) {
        canfd_frame answer = {.can_id = reply.id, .len = reply.size};
        std::copy_n(reply.data.begin(), reply.size, answer.data);
        send(bus, &answer, CANFD_MTU, MSG_NOSIGNAL);
      }
    }
  });
  {
    ASSERT_OK_AND_ASSIGN(const std::unique_ptr<MoteusBus> bus,
                         MoteusBus::Create({.actuators = {{.id = 3}}, .reply_timeout = absl::Seconds(10)},
                                           std::move(socket_)));
    ASSERT_OK_AND_ASSIGN(const std::vector<ActuatorInfo> infos, bus->Identify());
    EXPECT_EQ(infos[0].id, 3);
    ASSERT_OK(bus->Configure(absl::Milliseconds(100)));
    const JointCommand command = {.mode = ActuatorMode::kTorque, .torque_nm = 1};
    EXPECT_TRUE(bus->Write({&command, 1}).ok());
    JointMeasurement measured;
    EXPECT_TRUE(bus->Read(In(absl::Seconds(10)), {&measured, 1}).ok());
    EXPECT_NEAR(measured.position_rad, 0.75, 1e-6);
  }
  device.join();
}

}  // namespace
}  // namespace demorl
