#include <algorithm>
#include <iostream>

#include "absl/strings/str_cat.h"
#include "common/robot/drivers/b3m/b3m_bus.h"
#include "common/robot/drivers/b3m/b3m_emulator.h"
#include "common/robot/emulation/emulator_server.h"
#include "common/robot/transport/serial_port.h"
#include "gtest/gtest.h"
#include "tests/fakes/emulated_world.h"
#include "tests/testing/status_matchers.h"

namespace demorl {
namespace {

constexpr int kJoints = 12;
constexpr int kTicks = 100;

absl::Duration Quantile(std::vector<absl::Duration> values, double share) {
  std::sort(values.begin(), values.end());
  return values[static_cast<size_t>(share * static_cast<double>(values.size() - 1))];
}

class B3mOverPtyTest : public ::testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Wires, B3mOverPtyTest, ::testing::Values(1, 4),
                         [](const auto& info) { return absl::StrCat("On", info.param); });

// Prints what a tick's reading takes, with the wire's time at 1.5 Mbit/s; no figure makes it fail.
TEST_P(B3mOverPtyTest, ReadsTwelveServosOnPseudoTerminals) {
  const int num_wires = GetParam();
  testing::FreeJoints plant(kJoints);
  std::vector<std::unique_ptr<B3mEmulator>> emulators;
  std::vector<DeviceEmulator*> devices;
  B3mOptions options{.reply_timeout = absl::Seconds(10), .setup_timeout = absl::Seconds(10)};
  for (int wire = 0; wire < num_wires; ++wire) {
    B3mEmulatorOptions servos;
    for (int joint = wire; joint < kJoints; joint += num_wires) {
      servos.servos.push_back({static_cast<uint8_t>(joint), joint});
    }
    devices.push_back(emulators.emplace_back(std::make_unique<B3mEmulator>(servos)).get());
  }
  for (int joint = 0; joint < kJoints; ++joint) {
    options.servos.push_back({joint % num_wires, static_cast<uint8_t>(joint)});
  }
  ASSERT_OK_AND_ASSIGN(const auto server, EmulatorServer::Start({}, devices, &plant));
  std::vector<std::unique_ptr<ByteStream>> ports;
  for (int wire = 0; wire < num_wires; ++wire) {
    ASSERT_OK_AND_ASSIGN(auto port, SerialPort::Open({server->path(wire), options.baud_rate}));
    ports.push_back(std::move(port));
  }
  ASSERT_OK_AND_ASSIGN(const auto bus, B3mBus::Create(options, std::move(ports)));
  ASSERT_OK_AND_ASSIGN(const std::vector<ActuatorInfo> infos, bus->Identify());
  EXPECT_EQ(infos.size(), kJoints);
  ASSERT_OK(bus->Configure(absl::ZeroDuration()));

  std::vector<JointMeasurement> measurements(kJoints);
  const std::vector<JointCommand> commands(kJoints, {.mode = ActuatorMode::kDamping});
  std::vector<absl::Duration> reads;
  const Clock& clock = RealClock::Get();
  for (int tick = 0; tick < kTicks; ++tick) {
    const absl::Duration start = clock.Now();
    ASSERT_TRUE(bus->Read(start + absl::Seconds(20), measurements).ok());
    reads.push_back(clock.Now() - start);
    ASSERT_TRUE(bus->Write(commands).ok());
  }
  std::cout << "a Read of " << kJoints << " servos on " << num_wires << " wires: median "
            << Quantile(reads, 0.5) << ", 90 % within " << Quantile(reads, 0.9) << ", longest "
            << Quantile(reads, 1) << "\n";
  EXPECT_EQ(bus->counters().missing_replies, 0);
  EXPECT_EQ(bus->counters().late_or_duplicate_replies, 0);
  server->Inspect([&] {
    for (const auto& emulator : emulators) {
      EXPECT_EQ(emulator->num_collisions(), 0);
    }
  });
}

TEST(B3mPulledCableTest, ClosesTheBusWhileTheOthersGoOn) {
  testing::FreeJoints plant(2);
  B3mEmulator first({.servos = {{1, 0}}}), second({.servos = {{2, 1}}});
  ASSERT_OK_AND_ASSIGN(const auto server, EmulatorServer::Start({}, {&first, &second}, &plant));
  std::vector<std::unique_ptr<ByteStream>> ports;
  for (int wire = 0; wire < 2; ++wire) {
    ASSERT_OK_AND_ASSIGN(auto port, SerialPort::Open({server->path(wire), b3m::kDefaultBaudRate}));
    ports.push_back(std::move(port));
  }
  ASSERT_OK_AND_ASSIGN(
      const auto bus,
      B3mBus::Create({.servos = {{0, 1}, {1, 2}}, .reply_timeout = absl::Seconds(10)}, std::move(ports)));
  std::vector<JointMeasurement> measurements(2);
  const Clock& clock = RealClock::Get();
  ASSERT_TRUE(bus->Read(clock.Now() + absl::Seconds(20), measurements).ok());
  server->SetFaults(0, {.unplugged = true});
  EXPECT_EQ(bus->Read(clock.Now() + absl::Seconds(20), measurements).code, BusResult::Code::kClosed);
  EXPECT_FALSE(measurements[0].fresh);
  EXPECT_TRUE(measurements[1].fresh);
}

}  // namespace
}  // namespace demorl
