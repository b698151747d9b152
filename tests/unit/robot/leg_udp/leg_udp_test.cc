#include <atomic>
#include <cmath>
#include <functional>
#include <limits>
#include <numbers>
#include <thread>

#include "absl/strings/str_cat.h"
#include "common/base/clock.h"
#include "common/robot/drivers/leg_udp/leg_bridge_server.h"
#include "common/robot/drivers/leg_udp/leg_udp_bus.h"
#include "gmock/gmock.h"
#include "tests/testing/counting_allocator.h"
#include "tests/testing/status_matchers.h"

namespace demorl {
namespace {

using ::demorl::testing::StatusIs;
using ::testing::DoubleNear;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::Field;
using ::testing::HasSubstr;

constexpr double kPi = std::numbers::pi;
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr absl::Duration kPatience = absl::Seconds(10);

absl::Duration In(absl::Duration delay) { return RealClock::Get().Now() + delay; }

LegReply ReplyOf(double position_rev) { return {{{position_rev, 0}, {2 * position_rev, 0}}}; }

// A bridge whose test says what comes back to each request; its thread allocates nothing.
class HandBridge {
 public:
  // Given the number of the request, from 0 on, and a way to answer. `send(bytes, age)` answers the request
  // of `age` requests ago.
  using Send = std::function<void(std::span<const uint8_t> bytes, size_t age)>;
  using Script = std::function<void(size_t number, const LegRequest& request, const Send& send)>;

  explicit HandBridge(Script script) : script_(std::move(script)) {
    absl::StatusOr<std::unique_ptr<UdpSocket>> socket = UdpSocket::Bind("127.0.0.1", 0);
    EXPECT_OK(socket);
    socket_ = *std::move(socket);
    thread_ = std::thread([this] { Run(); });
  }
  ~HandBridge() {
    stop_ = true;
    absl::StatusOr<std::unique_ptr<UdpSocket>> waker = UdpSocket::Connect("127.0.0.1", port());
    EXPECT_OK(waker);
    (*waker)->Send({});
    thread_.join();
  }

  int port() const { return socket_->port(); }

 private:
  void Run() {
    std::array<UdpAddress, 8> senders;
    const Send send = [&](std::span<const uint8_t> bytes, size_t age) {
      socket_->SendTo(bytes, senders[(number_ - age) % senders.size()]);
    };
    std::array<uint8_t, kLegRequestBytes> bytes;
    for (;;) {
      UdpAddress from;
      const IoResult received = socket_->Receive(bytes, absl::InfiniteDuration(), &from);
      if (stop_) {
        return;
      }
      LegRequest request;
      if (received.ok() && received.num_bytes == bytes.size() &&
          DecodeLegMessage(std::span<const uint8_t>(bytes), request)) {
        senders[number_ % senders.size()] = from;
        script_(number_, request, send);
        ++number_;
      }
    }
  }

  const Script script_;
  std::unique_ptr<UdpSocket> socket_;
  std::atomic<bool> stop_ = false;
  size_t number_ = 0;
  std::thread thread_;
};

std::unique_ptr<LegUdpBus> BusTo(int port, absl::Duration reply_timeout = kPatience) {
  absl::StatusOr<std::unique_ptr<LegUdpBus>> bus =
      LegUdpBus::Create({.host = "127.0.0.1", .port = port, .reply_timeout = reply_timeout});
  EXPECT_OK(bus);
  return *std::move(bus);
}

// Two bodies that turn freely, without time.
class StillBodies final : public RobotPlant {
 public:
  int num_joints() const override { return 2; }
  void Advance(absl::Duration /*duration*/, std::span<const double> torques_nm) override {
    std::copy(torques_nm.begin(), torques_nm.end(), last_torques_nm.begin());
  }
  double position_rad(int joint) const override { return positions_rad[joint]; }
  double velocity_rad_s(int joint) const override { return velocities_rad_s[joint]; }

  std::array<double, 2> positions_rad = {0.5, -1.25};
  std::array<double, 2> velocities_rad_s = {2, -3};
  std::array<double, 2> last_torques_nm = {};
};

TEST(LegDatagramsTest, AreLittleEndianDoublesInTheAuthorsOrder) {
  const auto request = EncodeLegMessage(LegRequest{.torque = {1, -2}, .reset = 1});
  EXPECT_THAT(request, ElementsAre(0, 0, 0, 0, 0, 0, 0xf0, 0x3f, 0, 0, 0, 0, 0, 0, 0, 0xc0, 0, 0, 0, 0, 0, 0,
                                   0xf0, 0x3f));
  std::array<uint8_t, kLegReplyBytes> bytes = {};
  bytes[7] = 0x40;  // position 0: 2
  bytes[14] = 0xf0;
  bytes[15] = 0x3f;  // velocity 0: 1
  bytes[31] = 0xc0;  // velocity 1: -2
  LegReply reply;
  ASSERT_TRUE(DecodeLegMessage(std::span<const uint8_t>(bytes), reply));
  EXPECT_EQ(reply[0].position_rev, 2);
  EXPECT_EQ(reply[0].velocity_rev_s, 1);
  EXPECT_EQ(reply[1].position_rev, 0);
  EXPECT_EQ(reply[1].velocity_rev_s, -2);
  EXPECT_FALSE(DecodeLegMessage(std::span<const uint8_t>(bytes).first(31), reply));
}

TEST(LegUdpBusTest, MeasuresAndDrivesTheJointsThroughTheBridge) {
  StillBodies plant;
  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<LegBridgeServer> server, LegBridgeServer::Start({}, &plant));
  const std::unique_ptr<LegUdpBus> bus = BusTo(server->port());
  ASSERT_OK_AND_ASSIGN(const std::vector<ActuatorInfo> infos, bus->Identify());
  ASSERT_EQ(infos.size(), 2);
  EXPECT_FALSE(infos[0].has_watchdog);
  ASSERT_OK(bus->Configure(absl::Milliseconds(20)));

  std::array<JointMeasurement, 2> measured;
  const auto measures_the_plant = [&measured] {
    return std::abs(measured[0].position_rad - 0.5) < 1e-9 && std::abs(measured[1].velocity_rad_s + 3) < 1e-9;
  };
  do {  // until the plant has had its first step
    ASSERT_TRUE(bus->Read(In(kPatience), measured).ok());
  } while (!measures_the_plant());
  EXPECT_NEAR(measured[1].position_rad, -1.25, 1e-9);
  EXPECT_NEAR(measured[0].velocity_rad_s, 2, 1e-9);
  EXPECT_THAT(measured, Each(Field(&JointMeasurement::fresh, true)));

  const std::array<JointCommand, 2> commands = {
      JointCommand{.mode = ActuatorMode::kTorque, .torque_nm = 0.75},
      JointCommand{.mode = ActuatorMode::kTorque, .torque_nm = -9, .max_torque_nm = 2}};
  ASSERT_TRUE(bus->Write(commands).ok());
  ASSERT_TRUE(bus->Read(In(kPatience), measured).ok());
  server->Inspect([](LegBridgeEmulator& bridge) { EXPECT_THAT(bridge.torques_nm(), ElementsAre(0.75, -2)); });
  EXPECT_EQ(measured[1].torque_nm, -2);
}

TEST(LegUdpBusTest, TheWireCarriesMotorRevolutions) {
  const std::array<double, 2> rad_per_revolution = LegUdpOptions{}.rad_per_revolution;
  EXPECT_THAT(rad_per_revolution, ElementsAre(DoubleNear(kPi / 3, 1e-12), DoubleNear(kPi / 4.09, 1e-12)));
  HandBridge bridge([](size_t, const LegRequest&, const HandBridge::Send& send) {
    send(EncodeLegMessage(LegReply{{{1, 2}, {3, 4}}}), 0);
  });
  ASSERT_OK_AND_ASSIGN(
      const std::unique_ptr<LegUdpBus> bus,
      LegUdpBus::Create({.host = "127.0.0.1", .port = bridge.port(), .rad_per_revolution = {-0.5, 2}}));
  std::array<JointMeasurement, 2> measured;
  ASSERT_TRUE(bus->Read(In(kPatience), measured).ok());
  EXPECT_EQ(measured[0].position_rad, -0.5);
  EXPECT_EQ(measured[0].velocity_rad_s, -1);
  EXPECT_EQ(measured[1].position_rad, 6);
  EXPECT_EQ(measured[1].velocity_rad_s, 8);
}

TEST(LegUdpBusTest, DampingAndPositionsAreMadeOfTheLastMeasurement) {
  StillBodies plant;
  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<LegBridgeServer> server, LegBridgeServer::Start({}, &plant));
  const std::unique_ptr<LegUdpBus> bus = BusTo(server->port());
  const std::array<JointCommand, 2> commands = {
      JointCommand{.mode = ActuatorMode::kDamping, .damping_nm_s_rad = 0.3},
      JointCommand{.mode = ActuatorMode::kPosition,
                   .position_rad = -1,
                   .torque_nm = 0.1,
                   .stiffness_nm_rad = 4,
                   .damping_nm_s_rad = 0.2}};
  std::array<double, 2> torques = {};
  const auto torques_of_write = [&] {
    EXPECT_TRUE(bus->Write(commands).ok());
    std::array<JointMeasurement, 2> measured;
    EXPECT_TRUE(bus->Read(In(kPatience), measured).ok());  // the bridge has had what was written before
    server->Inspect([&](LegBridgeEmulator& bridge) { torques = bridge.torques_nm(); });
    return torques;
  };
  EXPECT_THAT(torques_of_write(), ElementsAre(0, 0));  // nothing measured yet
  // On a machine that dawdles, a measurement may be too old for a torque: try again.
  while (torques_of_write()[0] == 0 || torques[1] == 0) {
  }
  EXPECT_THAT(torques,
              ElementsAre(DoubleNear(-0.3 * 2, 1e-9), DoubleNear(4 * (-1 + 1.25) + 0.2 * 3 + 0.1, 1e-9)));
}

TEST(LegUdpBusTest, WhatIsNotFiniteBecomesNoTorque) {
  std::atomic<double> torque_0 = 7;
  std::atomic<double> torque_1 = 7;
  HandBridge bridge([&](size_t, const LegRequest& request, const HandBridge::Send& send) {
    torque_0 = request.torque[0];
    torque_1 = request.torque[1];
    send(EncodeLegMessage(ReplyOf(1)), 0);
  });
  const std::unique_ptr<LegUdpBus> bus = BusTo(bridge.port());
  const std::array<JointCommand, 2> commands = {
      JointCommand{.mode = ActuatorMode::kTorque, .torque_nm = kNan},
      JointCommand{.mode = ActuatorMode::kTorque, .torque_nm = 1}};
  EXPECT_EQ(bus->Write(commands).code, BusResult::Code::kIncomplete);
  std::array<JointMeasurement, 2> measured;
  ASSERT_TRUE(bus->Read(In(kPatience), measured).ok());
  EXPECT_EQ(torque_0, 0);
  EXPECT_EQ(torque_1, 1);
}

TEST(LegUdpBusTest, ABusThatEndsLeavesNoTorqueBehind) {
  StillBodies plant;
  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<LegBridgeServer> server, LegBridgeServer::Start({}, &plant));
  std::array<JointMeasurement, 2> measured;
  {
    const std::unique_ptr<LegUdpBus> bus = BusTo(server->port());
    const JointCommand one = {.mode = ActuatorMode::kTorque, .torque_nm = 1};
    ASSERT_TRUE(bus->Write(std::array<JointCommand, 2>{one, one}).ok());
    ASSERT_TRUE(bus->Read(In(kPatience), measured).ok());
    server->Inspect([](LegBridgeEmulator& bridge) { EXPECT_THAT(bridge.torques_nm(), ElementsAre(1, 1)); });
  }
  const absl::Duration deadline = In(kPatience);
  bool is_zero = false;
  while (!is_zero && RealClock::Get().Now() < deadline) {
    server->Inspect(
        [&](LegBridgeEmulator& bridge) { is_zero = bridge.torques_nm() == std::array<double, 2>{}; });
  }
  EXPECT_TRUE(is_zero);
}

TEST(LegUdpBusTest, ClearingFaultsResetsAsTheAuthorsDo) {
  StillBodies plant;
  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<LegBridgeServer> server, LegBridgeServer::Start({}, &plant));
  const std::unique_ptr<LegUdpBus> bus = BusTo(server->port());
  ASSERT_OK(bus->ClearFaults());
  server->Inspect([](LegBridgeEmulator& bridge) {
    EXPECT_GE(bridge.num_resets(), 60);
    EXPECT_THAT(bridge.torques_nm(), ElementsAre(0, 0));
  });
}

TEST(LegUdpBusTest, LostRepliesAreMissedAndOldValuesKept) {
  std::atomic<bool> answers = true;
  HandBridge bridge([&](size_t, const LegRequest&, const HandBridge::Send& send) {
    if (answers) {
      send(EncodeLegMessage(ReplyOf(1)), 0);
    }
  });
  const std::unique_ptr<LegUdpBus> bus = BusTo(bridge.port());
  std::array<JointMeasurement, 2> measured;
  ASSERT_TRUE(bus->Read(In(kPatience), measured).ok());
  const double position_rad = measured[0].position_rad;
  answers = false;
  for (int i = 0; i < 3; ++i) {
    const absl::Duration deadline = In(absl::Milliseconds(2));
    EXPECT_EQ(bus->Read(deadline, measured).code, BusResult::Code::kIncomplete);
    EXPECT_GE(RealClock::Get().Now(), deadline);
  }
  EXPECT_EQ(bus->counters().missing_replies, 3);
  EXPECT_THAT(measured, Each(Field(&JointMeasurement::fresh, false)));
  EXPECT_EQ(measured[0].position_rad, position_rad);
  answers = true;
  EXPECT_TRUE(bus->Read(In(kPatience), measured).ok());
}

TEST(LegUdpBusTest, ALateReplyIsNeverTakenForANewOne) {
  // The first request is answered only when the second comes, after the second's own answer and before it.
  HandBridge bridge([](size_t number, const LegRequest&, const HandBridge::Send& send) {
    if (number == 1) {
      send(EncodeLegMessage(ReplyOf(100)), 1);
    }
    if (number != 0) {
      send(EncodeLegMessage(ReplyOf(static_cast<double>(number))), 0);
    }
  });
  const std::unique_ptr<LegUdpBus> bus = BusTo(bridge.port());
  const double rad_per_revolution = LegUdpOptions{}.rad_per_revolution[0];
  std::array<JointMeasurement, 2> measured;
  EXPECT_FALSE(bus->Read(In(absl::Milliseconds(2)), measured).ok());
  for (int number = 1; number <= 20; ++number) {
    ASSERT_TRUE(bus->Read(In(kPatience), measured).ok());
    EXPECT_NEAR(measured[0].position_rad, number * rad_per_revolution, 1e-9);
  }
  EXPECT_EQ(bus->counters().late_or_duplicate_replies, 1);
}

TEST(LegUdpBusTest, DuplicatesAndWrongSizesAreCounted) {
  HandBridge bridge([](size_t number, const LegRequest&, const HandBridge::Send& send) {
    const auto reply = EncodeLegMessage(ReplyOf(static_cast<double>(number)));
    if (number == 0) {
      const std::array<uint8_t, 40> too_long = {};
      send(std::span(reply).first(31), 0);
      send(too_long, 0);
      send({}, 0);
      send(reply, 0);
      send(reply, 0);
      return;
    }
    send(reply, 0);
  });
  const std::unique_ptr<LegUdpBus> bus = BusTo(bridge.port());
  std::array<JointMeasurement, 2> measured;
  for (int number = 0; number <= 17; ++number) {
    ASSERT_TRUE(bus->Read(In(kPatience), measured).ok());
    EXPECT_NEAR(measured[0].position_rad, number * LegUdpOptions{}.rad_per_revolution[0], 1e-9);
  }
  EXPECT_EQ(bus->counters().bad_messages, 3);
  EXPECT_EQ(bus->counters().late_or_duplicate_replies, 1);
  EXPECT_EQ(bus->counters().missing_replies, 0);
}

TEST(LegUdpBusTest, FaultsOfTheEmulatedNetworkAreSeen) {
  StillBodies plant;
  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<LegBridgeServer> server, LegBridgeServer::Start({}, &plant));
  const std::unique_ptr<LegUdpBus> bus = BusTo(server->port());
  std::array<JointMeasurement, 2> measured;
  server->SetFaults({.stuck = true});
  EXPECT_EQ(bus->Read(In(absl::Milliseconds(5)), measured).code, BusResult::Code::kIncomplete);
  server->SetFaults({.duplicate_replies = true, .babble_bytes = 10});
  for (int i = 0; i < 40; ++i) {
    EXPECT_TRUE(bus->Read(In(kPatience), measured).ok());
  }
  EXPECT_GT(bus->counters().late_or_duplicate_replies, 10);
  server->SetFaults({.reply_delay = absl::Milliseconds(3)});
  const absl::Duration before = RealClock::Get().Now();
  EXPECT_TRUE(bus->Read(In(kPatience), measured).ok());
  EXPECT_GE(RealClock::Get().Now() - before, absl::Milliseconds(3));
}

TEST(LegUdpBusTest, SaysWhatIsMissing) {
  int port = 0;
  {
    ASSERT_OK_AND_ASSIGN(const std::unique_ptr<UdpSocket> gone, UdpSocket::Bind("127.0.0.1", 0));
    port = gone->port();
  }
  const std::unique_ptr<LegUdpBus> bus = BusTo(port);
  EXPECT_THAT(bus->Identify(),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr(absl::StrCat("127.0.0.1:", port))));
  std::array<JointMeasurement, 2> measured;
  EXPECT_EQ(bus->Read(In(absl::Milliseconds(5)), measured).code, BusResult::Code::kIncomplete);
  EXPECT_THAT(LegUdpBus::Create({.host = "no-such-host.invalid"}).status(),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("no-such-host.invalid")));
  EXPECT_THAT(LegUdpBus::Create({.host = "127.0.0.1", .port = 70000}).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("70000")));
  EXPECT_THAT(LegUdpBus::Create({.host = "127.0.0.1", .rad_per_revolution = {1, 0}}).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("leg joint 1")));
}

TEST(LegUdpBusTest, ASilentBridgeIsNotFound) {
  HandBridge bridge([](size_t, const LegRequest&, const HandBridge::Send&) {});
  const std::unique_ptr<LegUdpBus> bus = BusTo(bridge.port(), absl::Milliseconds(5));
  EXPECT_THAT(bus->Configure(absl::Milliseconds(20)),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("no answer of 32 bytes to 3 requests")));
}

TEST(LegUdpBusTest, ReadsAndWritesWithoutAllocating) {
  if (!CountsAllocations()) {
    GTEST_SKIP() << "this build has an allocator of its own";
  }
  HandBridge bridge([](size_t number, const LegRequest&, const HandBridge::Send& send) {
    const auto reply = EncodeLegMessage(ReplyOf(static_cast<double>(number)));
    send(reply, 0);
    send(std::span(reply).first(number % 32), 0);
  });
  const std::unique_ptr<LegUdpBus> bus = BusTo(bridge.port());
  std::array<JointMeasurement, 2> measured;
  const JointCommand command = {.mode = ActuatorMode::kDamping, .damping_nm_s_rad = 1};
  const std::array<JointCommand, 2> commands = {command, command};
  const int64_t before = NumAllocations();
  for (int i = 0; i < 50; ++i) {
    bus->Read(In(absl::Seconds(1)), measured);
    bus->Write(commands);
  }
  EXPECT_EQ(NumAllocations(), before);
}

TEST(LegBridgeEmulatorTest, KeepsTheLastTorquesAndIgnoresWhatIsNoRequest) {
  LegBridgeEmulator bridge({.torque_per_nm = {2, 2}, .joints = {1, 0}});
  StillBodies plant;
  std::array<double, 2> torques = {};
  bridge.Step(plant, torques);
  LegReply reply;
  ASSERT_TRUE(bridge.Receive(EncodeLegMessage(LegRequest{.torque = {1, kNan}}), reply));
  EXPECT_NEAR(reply[0].position_rev, -1.25 / (kPi / 3), 1e-12);
  EXPECT_FALSE(bridge.Receive(std::array<uint8_t, 23>{}, reply));
  bridge.Step(plant, torques);
  EXPECT_THAT(torques, ElementsAre(0, 0.5));
}

}  // namespace
}  // namespace demorl
