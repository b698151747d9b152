#include "common/robot/drivers/moteus/moteus_emulator.h"

#include <cmath>
#include <numbers>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "gmock/gmock.h"
#include "tests/unit/robot/moteus/emulated_stream.h"

namespace demorl {
namespace {

using ::testing::DoubleNear;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr double kRadPerRev = 2 * std::numbers::pi;
constexpr auto kInt8 = MoteusResolution::kInt8;
constexpr auto kInt32 = MoteusResolution::kInt32;
constexpr auto kFloat = MoteusResolution::kFloat;

std::string Tell(MoteusEmulator& emulator, const std::string& text) {
  std::vector<uint8_t> replies;
  const auto* bytes = reinterpret_cast<const uint8_t*>(text.data());
  emulator.Receive({bytes, text.size()}, absl::ZeroDuration(), replies);
  return {replies.begin(), replies.end()};
}

MoteusEmulatorOptions OneController(bool reply_before_ok = false) {
  return {.controllers = {{.id = 1}}, .reply_before_ok = reply_before_ok};
}

std::string WithChecksum(const std::string& line) {
  return absl::StrFormat("%s *%02X\n", line, Crc8(line + " "));
}

// One controller by itself, stepped by the test.
class Bench {
 public:
  explicit Bench(const EmulatedMoteusOptions& options = {}) : device(options) {}

  CanFrame Send(std::span<const MoteusValue> writes, std::span<const MoteusValue> reads = {}) {
    CanFrame frame{.id = 0x8000 | static_cast<uint32_t>(device.options().id)};
    EXPECT_TRUE(MoteusFrameWriter(frame).Append(MoteusSubframe::kWrite, writes));
    EXPECT_TRUE(MoteusFrameWriter(frame).Append(MoteusSubframe::kRead, reads));
    CanFrame reply;
    EXPECT_TRUE(device.Handle(frame, now, reply));
    return reply;
  }
  void SetMode(int mode) { Send(std::vector<MoteusValue>{{0, kInt8, static_cast<double>(mode)}}); }

  double Step(absl::Duration duration, double position_rad = 0, double velocity_rad_s = 0) {
    now += duration;
    return device.Step(now, position_rad, velocity_rad_s);
  }

  EmulatedMoteus device;
  absl::Duration now = absl::Seconds(5);
};

std::vector<MoteusItem> ItemsOf(const CanFrame& frame) {
  MoteusFrameReader reader(frame.payload());
  std::vector<MoteusItem> items;
  for (MoteusItem item; reader.Next(item);) {
    items.push_back(item);
  }
  return items;
}

TEST(MoteusEmulatorTest, AnswersAPlainClientWithoutChecksums) {
  MoteusEmulator emulator(OneController());
  EXPECT_EQ(Tell(emulator, "can send 8001 1100\n"), "OK\nrcv 100 210000 e B F\n");
  EXPECT_EQ(Tell(emulator, "can send 0001 010000\n"), "OK\n");
  EXPECT_EQ(Tell(emulator, "can send 8002 1100\n"), "OK\n");
}

TEST(MoteusEmulatorTest, CanTellTheFrameBeforeTheOk) {
  MoteusEmulator emulator(OneController(true));
  EXPECT_EQ(Tell(emulator, "can send 8001 1100\n"), "rcv 100 210000 e B F\nOK\n");
}

TEST(MoteusEmulatorTest, OneChecksumMakesAllLinesNeedOneAndCarryOne) {
  MoteusEmulator emulator(OneController());
  EXPECT_EQ(Tell(emulator, "can send 0001 010000\n"), "OK\n");
  EXPECT_EQ(Tell(emulator, WithChecksum("can send 8001 1100")),
            absl::StrCat("OK *BD\n", WithChecksum("rcv 100 210000 e B F")));
  EXPECT_EQ(Tell(emulator, "can send 0001 01000a\n"), WithChecksum("ERR checksum"));
  EXPECT_EQ(Tell(emulator, "can send 0001 01000a *00\n"), WithChecksum("ERR checksum"));
  EXPECT_EQ(emulator.controller(0).mode(), moteus_mode::kStopped);
}

TEST(MoteusEmulatorTest, RefusesWhatItDoesNotKnow) {
  MoteusEmulator emulator(OneController());
  EXPECT_EQ(Tell(emulator, "tel get servo_stats\n"), "ERR unknown command\n");
  EXPECT_THAT(Tell(emulator, "can send 8001 11zz\n"), StartsWith("ERR"));
  EXPECT_EQ(Tell(emulator, "can status\n"), "mode:BUSON\nOK\n");
  EXPECT_EQ(Tell(emulator, "can off\n"), "OK\n");
  EXPECT_THAT(Tell(emulator, "can send 8001 1100\n"), HasSubstr("ERR"));
  EXPECT_EQ(Tell(emulator, "can on\n"), "OK\n");
  EXPECT_THAT(Tell(emulator, "can send 8001 1100\n"), StartsWith("OK"));
}

TEST(MoteusEmulatorTest, DrivesTheJointsThatItsControllersAreOn) {
  MoteusEmulator emulator({.controllers = {{.id = 1, .joint = 2}}});
  Tell(emulator, "can send 0001 01000a022080000d220000003f02230000\n");
  FreeBodies plant(3);
  std::vector<double> torques = {7, 7, 7};
  std::vector<uint8_t> output;
  emulator.Step(absl::Milliseconds(1), plant, torques, output);
  EXPECT_THAT(torques, ::testing::ElementsAre(7, 7, DoubleNear(0.5, 1e-9)));
}

TEST(EmulatedMoteusTest, TellsWhoItIsAtThirtyTwoBitsOnly) {
  Bench bench({.id = 5, .model = 7, .firmware = 0x010203});
  const auto items = ItemsOf(bench.Send(
      {}, std::vector<MoteusValue>{{0x100, kInt32}, {0x101, kInt32}, {0x102, kInt32}, {0x110, kInt32}}));
  ASSERT_EQ(items.size(), 4);
  EXPECT_EQ(items[0].register_value.value, 7);
  EXPECT_EQ(items[1].register_value.value, 0x010203);
  EXPECT_EQ(items[2].register_value.value, 5);
  EXPECT_EQ(items[3].register_value.value, 5);
  const auto refused = ItemsOf(bench.Send({}, std::vector<MoteusValue>{{0x101, kInt8}}));
  ASSERT_EQ(refused.size(), 1);
  EXPECT_EQ(refused[0].kind, MoteusSubframe::kReadError);
}

TEST(EmulatedMoteusTest, SaysWhatItCannotWrite) {
  Bench bench;
  const auto items =
      ItemsOf(bench.Send(std::vector<MoteusValue>{{0x001, kFloat, 1}, {0x2aa, kFloat, 1}, {0, kInt8, 9}}));
  ASSERT_EQ(items.size(), 3);
  EXPECT_EQ(items[0].kind, MoteusSubframe::kWriteError);
  EXPECT_EQ(items[0].register_value.address, 0x001);
  EXPECT_EQ(items[0].error, 2);
  EXPECT_EQ(items[1].error, 1);
  EXPECT_EQ(items[2].error, 3);
}

TEST(EmulatedMoteusTest, FollowsTheControlLawOfPositionMode) {
  Bench bench({.position_kp_nm_rev = 5, .position_kd_nm_s_rev = 0.2, .max_torque_nm = 3});
  bench.Send(std::vector<MoteusValue>{{0, kInt8, 10},
                                      {0x20, kFloat, 0.5},
                                      {0x21, kFloat, 0},
                                      {0x22, kFloat, 0.1},
                                      {0x23, kFloat, 0.5},
                                      {0x24, kFloat, 2}});
  const double torque_nm = bench.Step(absl::Milliseconds(1), 0.1 * kRadPerRev, 0.3 * kRadPerRev);
  EXPECT_NEAR(torque_nm, 5 * 0.5 * (0.5 - 0.1) + 0.2 * 2 * (0 - 0.3) + 0.1, 1e-6);
  bench.Send(std::vector<MoteusValue>{{0, kInt8, 10}, {0x20, kFloat, 100}});
  EXPECT_NEAR(bench.Step(absl::Milliseconds(1)), 3, 1e-9);
  bench.Send(std::vector<MoteusValue>{{0, kInt8, 10}, {0x20, kFloat, -100}, {0x25, kFloat, 0.75}});
  EXPECT_NEAR(bench.Step(absl::Milliseconds(1)), -0.75, 1e-9);
}

TEST(EmulatedMoteusTest, WithoutAPositionItStaysWhereItIs) {
  Bench bench;
  bench.Step(absl::Milliseconds(1), 0.4 * kRadPerRev);
  bench.Send(std::vector<MoteusValue>{{0, kInt8, 10}, {0x20, kInt8, std::nan("")}, {0x21, kFloat, 0.5}});
  EXPECT_NEAR(bench.Step(absl::Milliseconds(20), 0.4 * kRadPerRev), 4 * 0.5 * 0.020 + 0.05 * 0.5,
              1e-6);  // the goal has moved on
}

TEST(EmulatedMoteusTest, GoesThroughThePreparingModesBeforeItRuns) {
  Bench bench({.preparing_step = absl::Milliseconds(5)});
  const std::vector<MoteusValue> command = {
      {0, kInt8, 10}, {0x20, kFloat, 0.5}, {0x27, kFloat, std::nan("")}};
  bench.Send(command);
  for (const int mode :
       {moteus_mode::kEnabling, moteus_mode::kCalibrating, moteus_mode::kCalibrationComplete}) {
    EXPECT_EQ(bench.device.mode(), mode);
    bench.Send(command);  // prepares no longer for that
    EXPECT_EQ(bench.Step(absl::Milliseconds(4)), 0);
    EXPECT_EQ(bench.device.mode(), mode);
    bench.Step(absl::Milliseconds(1));
  }
  EXPECT_EQ(bench.device.mode(), moteus_mode::kPosition);
  EXPECT_NEAR(bench.Step(absl::Milliseconds(1)), 4 * 0.5, 1e-6);
  // A running motor is ready for other modes, a stopped one is not.
  bench.SetMode(moteus_mode::kBrake);
  EXPECT_EQ(bench.device.mode(), moteus_mode::kBrake);
  bench.SetMode(moteus_mode::kStopped);
  bench.SetMode(moteus_mode::kBrake);
  EXPECT_EQ(bench.device.mode(), moteus_mode::kEnabling);
  bench.SetMode(moteus_mode::kStopped);
  EXPECT_EQ(bench.device.mode(), moteus_mode::kStopped);
}

double ReadRegister(Bench& bench, uint32_t address) {
  return ItemsOf(bench.Send({}, std::vector<MoteusValue>{{address, kFloat}}))[0].register_value.value;
}

TEST(EmulatedMoteusTest, FollowsATrajectoryWithinItsLimitsAndTellsItsEnd) {
  // 1 revolution at 2 rev/s and 4 rev/s^2 takes 0.5 s up and 0.5 s down.
  Bench bench({.position_kp_nm_rev = 1, .position_kd_nm_s_rev = 0});
  EXPECT_EQ(ReadRegister(bench, 0x00b), 0);
  bench.Step(absl::Milliseconds(1));
  const std::vector<MoteusValue> command = {
      {0, kInt8, 10}, {0x20, kFloat, 1}, {0x27, kFloat, std::nan("")}, {0x28, kFloat, 2}, {0x29, kFloat, 4}};
  bench.Send(command);
  EXPECT_NEAR(bench.Step(absl::Milliseconds(250)), 4 * 0.25 * 0.25 / 2, 1e-6);
  bench.Send(command);  // goes on where it was
  EXPECT_NEAR(bench.Step(absl::Milliseconds(250)), 0.5, 1e-6);
  EXPECT_EQ(ReadRegister(bench, 0x00b), 0);
  EXPECT_NEAR(bench.Step(absl::Milliseconds(501)), 1, 1e-6);
  EXPECT_EQ(ReadRegister(bench, 0x00b), 1);
  bench.Send(std::vector<MoteusValue>{{0, kInt8, 10}, {0x20, kFloat, -3}});
  EXPECT_EQ(ReadRegister(bench, 0x00b), 1);  // without limits it is there at once
  bench.SetMode(moteus_mode::kStopped);
  EXPECT_EQ(ReadRegister(bench, 0x00b), 0);
}

TEST(EmulatedMoteusTest, StopsAtItsStopPosition) {
  Bench bench({.position_kp_nm_rev = 1, .position_kd_nm_s_rev = 0});
  bench.Step(absl::Milliseconds(1));
  bench.Send(std::vector<MoteusValue>{{0, kInt8, 10},
                                      {0x20, kInt8, std::nan("")},
                                      {0x21, kFloat, 0.5},
                                      {0x26, kFloat, 0.2},
                                      {0x27, kFloat, std::nan("")}});
  EXPECT_NEAR(bench.Step(absl::Milliseconds(300)), 0.15, 1e-6);
  EXPECT_NEAR(bench.Step(absl::Milliseconds(300)), 0.2, 1e-6);
  EXPECT_NEAR(bench.Step(absl::Milliseconds(300)), 0.2, 1e-6);
}

TEST(EmulatedMoteusTest, FaultsOnAStopPositionTogetherWithLimits) {
  for (const uint32_t limit : {0x28, 0x29}) {
    Bench bench;
    bench.Send(std::vector<MoteusValue>{{0, kInt8, 10}, {0x26, kFloat, 0.2}, {limit, kFloat, 1}});
    EXPECT_EQ(bench.device.mode(), moteus_mode::kFault);
    EXPECT_EQ(ReadRegister(bench, 0x00f), 45);
  }
}

TEST(EmulatedMoteusTest, WritingTheModeForgetsEarlierRegisters) {
  Bench bench;
  bench.Send(std::vector<MoteusValue>{{0, kInt8, 10}, {0x23, kInt8, 0}, {0x24, kInt8, 0}, {0x22, kFloat, 1}});
  EXPECT_NEAR(bench.Step(absl::Milliseconds(1), 0, 0), 1, 1e-9);
  // Registers before the mode are lost; without a mode nothing is taken over.
  bench.Send(std::vector<MoteusValue>{{0x22, kFloat, 2}, {0, kInt8, 10}, {0x23, kInt8, 0}});
  EXPECT_NEAR(bench.Step(absl::Milliseconds(1), 0, 0), 0, 1e-9);
  bench.Send(std::vector<MoteusValue>{{0x22, kFloat, 2}});
  EXPECT_NEAR(bench.Step(absl::Milliseconds(1), 0, 0), 0, 1e-9);
}

TEST(EmulatedMoteusTest, TheWatchdogRunsOutOnceAndOnlyAStopLeadsOut) {
  for (const auto& [timeout_s, lasts_ms] : std::vector<std::pair<double, int>>{{0, 100}, {0.03, 30}}) {
    Bench bench;
    const std::vector<MoteusValue> command = {{0, kInt8, 10}, {0x27, kFloat, timeout_s}};
    bench.Send(command);
    bench.Step(absl::Milliseconds(lasts_ms - 1));
    EXPECT_EQ(bench.device.mode(), moteus_mode::kPosition);
    bench.Send(command);
    bench.Step(absl::Milliseconds(lasts_ms - 1));
    EXPECT_EQ(bench.device.mode(), moteus_mode::kPosition);
    bench.Step(absl::Milliseconds(2));
    EXPECT_EQ(bench.device.mode(), moteus_mode::kTimeout);
    bench.Send(command);
    bench.SetMode(moteus_mode::kBrake);
    EXPECT_EQ(bench.device.mode(), moteus_mode::kTimeout);
    bench.SetMode(moteus_mode::kStopped);
    bench.Send(command);
    EXPECT_EQ(bench.device.mode(), moteus_mode::kPosition);
  }
}

TEST(EmulatedMoteusTest, ACommandAfterTheWatchdogsEndComesTooLate) {
  Bench bench;
  bench.Send(std::vector<MoteusValue>{{0, kInt8, 10}, {0x27, kFloat, 0.01}});
  bench.now += absl::Milliseconds(11);
  bench.SetMode(moteus_mode::kPosition);
  EXPECT_EQ(bench.device.mode(), moteus_mode::kTimeout);
}

TEST(EmulatedMoteusTest, WithoutATimeoutThereIsNoWatchdog) {
  Bench bench;
  bench.Send(std::vector<MoteusValue>{{0, kInt8, 10}, {0x27, kFloat, std::nan("")}});
  bench.Step(absl::Hours(1));
  EXPECT_EQ(bench.device.mode(), moteus_mode::kPosition);
  bench.SetMode(moteus_mode::kZeroVelocity);
  bench.Step(absl::Hours(1));
  EXPECT_EQ(bench.device.mode(), moteus_mode::kZeroVelocity);
}

TEST(EmulatedMoteusTest, ATimeoutDampsAsItIsConfiguredAndWithTheLastScale) {
  for (const auto& [timeout_mode, kd_scale, torque_nm] :
       std::vector<std::tuple<int, double, double>>{{moteus_mode::kZeroVelocity, 1, -0.05 * 3},
                                                    {moteus_mode::kZeroVelocity, 0, 0},
                                                    {moteus_mode::kZeroVelocity, 1000, -0.4},
                                                    {moteus_mode::kStopped, 1, 0},
                                                    {moteus_mode::kBrake, 1, -0.5 * 3 * kRadPerRev}}) {
    Bench bench({.timeout_mode = timeout_mode, .timeout_max_torque_nm = 0.4});
    bench.Send(std::vector<MoteusValue>{{0, kInt8, 10}, {0x24, kFloat, kd_scale}});
    EXPECT_NEAR(bench.Step(absl::Seconds(1), 0, 3 * kRadPerRev), torque_nm, 1e-6) << timeout_mode;
    EXPECT_EQ(bench.device.mode(), moteus_mode::kTimeout);
  }
}

TEST(EmulatedMoteusTest, AFaultTakesTheMotorOffUntilAStop) {
  Bench bench;
  bench.Send(std::vector<MoteusValue>{{0, kInt8, 10}, {0x22, kFloat, 1}});
  bench.device.SetFault(33);
  EXPECT_EQ(bench.Step(absl::Milliseconds(1)), 0);
  bench.SetMode(moteus_mode::kPosition);
  const auto items = ItemsOf(bench.Send({}, std::vector<MoteusValue>{{0, kInt8}, {0xf, kInt8}}));
  EXPECT_EQ(items[0].register_value.value, moteus_mode::kFault);
  EXPECT_EQ(items[1].register_value.value, 33);
  bench.SetMode(moteus_mode::kStopped);
  EXPECT_EQ(ItemsOf(bench.Send({}, std::vector<MoteusValue>{{0xf, kInt8}}))[0].register_value.value, 0);
}

TEST(EmulatedMoteusTest, RefusesToStartOutsideItsLimits) {
  Bench bench({.minimum_position_rev = -0.1, .maximum_position_rev = 0.1});
  bench.Step(absl::Milliseconds(1), 0.2 * kRadPerRev);
  bench.SetMode(moteus_mode::kPosition);
  EXPECT_EQ(bench.device.mode(), moteus_mode::kFault);
}

TEST(EmulatedMoteusTest, HearsItsOwnIdAndTheOneForAll) {
  Bench bench({.id = 9});
  CanFrame reply;
  EXPECT_TRUE(bench.device.Handle({.id = 0x8009}, bench.now, reply));
  EXPECT_EQ(reply.id, 0x900);
  EXPECT_TRUE(bench.device.Handle({.id = 0x837f}, bench.now, reply));
  EXPECT_EQ(reply.id, 0x903);
  EXPECT_FALSE(bench.device.Handle({.id = 0x0009}, bench.now, reply));
  EXPECT_FALSE(bench.device.Handle({.id = 0x8008}, bench.now, reply));
  EXPECT_FALSE(bench.device.Handle({.id = 0x18009}, bench.now, reply));
}

TEST(EmulatedMoteusTest, SurvivesAnyFrame) {
  Bench bench;
  Random random(17);
  for (int i = 0; i < 50'000; ++i) {
    CanFrame frame{.id = 0x8001, .size = static_cast<uint8_t>(random.Index(65))};
    for (uint8_t& byte : frame.data) {
      byte = static_cast<uint8_t>(random.Index(3) == 0 ? random.NextUint64() : random.Index(0x30));
    }
    CanFrame reply;
    bench.device.Handle(frame, bench.now, reply);
    EXPECT_TRUE(std::isfinite(bench.Step(absl::Microseconds(100), 1, 1)));
  }
}

}  // namespace
}  // namespace demorl
