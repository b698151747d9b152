// The drivers in real time, on the pseudo-terminals of an emulator server.
#include <gmock/gmock.h>

#include <memory>

#include "common/base/clock.h"
#include "common/robot/drivers/imu/rvc_emulator.h"
#include "common/robot/drivers/imu/rvc_imu.h"
#include "common/robot/drivers/imu/vectornav_emulator.h"
#include "common/robot/drivers/imu/vectornav_imu.h"
#include "common/robot/drivers/imu/xsens_emulator.h"
#include "common/robot/drivers/imu/xsens_imu.h"
#include "common/robot/emulation/emulator_server.h"
#include "common/robot/transport/serial_port.h"
#include "tests/testing/status_matchers.h"
#include "tests/unit/robot/imu/fake_wire.h"

namespace demorl {
namespace {

using ::demorl::testing::StatusIs;

constexpr double kTurn = 0.25;  // rad/s, about z

ImuMotion AtRest(absl::Duration) { return {.angular_velocity_rad_s = {0, 0, kTurn}}; }

class ImuOverPtyTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_OK_AND_ASSIGN(server_, EmulatorServer::Start({}, {&xsens_, &vectornav_, &rvc_}, &plant_));
    imus_.push_back(std::make_unique<XsensImu>(XsensOptions{}, Open(0)));
    imus_.push_back(std::make_unique<VectorNavImu>(VectorNavOptions{}, Open(1)));
    imus_.push_back(std::make_unique<RvcImu>(Open(2)));
  }

  std::unique_ptr<ByteStream> Open(size_t index) {
    auto port = SerialPort::Open({.path = server_->path(index)});
    EXPECT_OK(port);
    return std::move(*port);
  }

  // Polls until `condition` holds.
  template <typename Condition>
  static bool PollUntil(Imu& imu, Condition condition) {
    const absl::Duration deadline = RealClock::Get().Now() + absl::Seconds(30);
    ImuSample sample;
    while (RealClock::Get().Now() < deadline) {
      const bool found = imu.Poll(sample);
      if (condition(found, sample)) {
        return true;
      }
      absl::SleepFor(absl::Milliseconds(1));
    }
    return false;
  }

  NoMotors plant_;
  XsensEmulator xsens_{{}, AtRest};
  VectorNavEmulator vectornav_{{}, AtRest};
  RvcEmulator rvc_{AtRest};
  std::unique_ptr<EmulatorServer> server_;
  std::vector<std::unique_ptr<Imu>> imus_;
};

TEST_F(ImuOverPtyTest, SamplesArriveInOrderAndStampedOnTheirWay) {
  for (const auto& imu : imus_) {
    ASSERT_OK(imu->Start());
    const absl::Duration before = RealClock::Get().Now();
    absl::Duration last = before;
    int num_found = 0;
    EXPECT_TRUE(PollUntil(*imu, [&](bool found, const ImuSample& sample) {
      if (found) {
        EXPECT_GE(sample.time, last);
        EXPECT_LE(sample.time, RealClock::Get().Now());
        EXPECT_NEAR(sample.acceleration_m_s2[2], 9.80665, 1e-5);
        last = sample.time;
        ++num_found;
      }
      return num_found >= 20;
    }));
  }
}

TEST_F(ImuOverPtyTest, SamplesComeThroughNoiseAndFlippedBits) {
  for (size_t i = 0; i < imus_.size(); ++i) {
    ASSERT_OK(imus_[i]->Start());
    server_->SetFaults(i, {.corrupted_share = 0.2, .babble_bytes = 2});
    const uint64_t enough = imus_[i]->counters().samples + 30;
    EXPECT_TRUE(PollUntil(*imus_[i], [&](bool, const ImuSample&) {
      const ImuCounters counters = imus_[i]->counters();
      return counters.samples >= enough && counters.bad_messages > 0 && counters.skipped_bytes > 0;
    }));
  }
}

TEST_F(ImuOverPtyTest, APulledCableEndsTheSamples) {
  for (size_t i = 0; i < imus_.size(); ++i) {
    ASSERT_OK(imus_[i]->Start());
    server_->SetFaults(i, {.unplugged = true});
    // What had arrived before may still be read.
    ImuSample sample;
    imus_[i]->Poll(sample);
    EXPECT_FALSE(imus_[i]->Poll(sample));
    EXPECT_THAT(imus_[i]->Start(),
                StatusIs(absl::StatusCode::kUnavailable, ::testing::HasSubstr("plugged in")));
  }
}

}  // namespace
}  // namespace demorl
