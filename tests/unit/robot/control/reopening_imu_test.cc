// IMUs that are unplugged and plugged in again, on the pseudo-terminals of an emulator server.
#include "common/robot/control/reopening_imu.h"

#include <memory>
#include <utility>

#include "common/base/clock.h"
#include "common/robot/drivers/imu/rvc_emulator.h"
#include "common/robot/drivers/imu/rvc_imu.h"
#include "common/robot/drivers/imu/vectornav_emulator.h"
#include "common/robot/drivers/imu/vectornav_imu.h"
#include "common/robot/drivers/imu/xsens_emulator.h"
#include "common/robot/drivers/imu/xsens_imu.h"
#include "common/robot/emulation/emulator_server.h"
#include "common/robot/transport/serial_port.h"
#include "gmock/gmock.h"
#include "tests/testing/status_matchers.h"
#include "tests/unit/robot/imu/fake_wire.h"

namespace demorl {
namespace {

ImuMotion AtRest(absl::Duration) { return {}; }

class ReopeningImuTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_OK_AND_ASSIGN(server_, EmulatorServer::Start({}, {&xsens_, &vectornav_, &rvc_}, &plant_));
  }

  absl::StatusOr<std::unique_ptr<Imu>> OpenDriver(size_t device) {
    auto port = SerialPort::Open({.path = server_->path(device)});
    if (!port.ok()) {
      return port.status();
    }
    ++num_opened_;
    switch (device) {
      case 0:
        return std::make_unique<XsensImu>(XsensOptions{}, *std::move(port));
      case 1:
        return std::make_unique<VectorNavImu>(VectorNavOptions{}, *std::move(port));
      default:
        return std::make_unique<RvcImu>(*std::move(port));
    }
  }

  // Whether a sample arrives that is newer than `since`.
  static bool Speaks(Imu& imu, absl::Duration since) {
    ImuSample sample;
    const absl::Duration deadline = RealClock::Get().Now() + absl::Seconds(30);
    while (RealClock::Get().Now() < deadline) {
      if (imu.Poll(sample) && sample.time >= since) {
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
  int num_opened_ = 0;
};

TEST_F(ReopeningImuTest, AnUnpluggedImuSpeaksAgainOnceItIsPluggedInAndStarted) {
  for (size_t device = 0; device < server_->num_devices(); ++device) {
    ASSERT_OK_AND_ASSIGN(const auto imu, ReopeningImu::Open([this, device] { return OpenDriver(device); }));
    ASSERT_OK(imu->Start());
    server_->SetFaults(device, {.unplugged = true});
    EXPECT_FALSE(imu->Start().ok());
    EXPECT_FALSE(imu->Start().ok());
    ImuSample sample;
    EXPECT_FALSE(imu->Poll(sample));
    ASSERT_OK(server_->Replug(device));
    const absl::Duration plugged = RealClock::Get().Now();
    ASSERT_OK(imu->Start());
    EXPECT_TRUE(Speaks(*imu, plugged));
  }
}

TEST_F(ReopeningImuTest, OneThatSpeaksIsStartedAnewWithoutClosingItsPort) {
  ASSERT_OK_AND_ASSIGN(const auto imu, ReopeningImu::Open([this] { return OpenDriver(0); }));
  ASSERT_OK(imu->Start());
  ASSERT_OK(imu->Start());
  EXPECT_TRUE(Speaks(*imu, RealClock::Get().Now()));
  EXPECT_EQ(num_opened_, 1);
}

TEST_F(ReopeningImuTest, OneThatHasNeverSpokenIsNotTriedTwice) {
  ASSERT_OK_AND_ASSIGN(const auto imu, ReopeningImu::Open([this] { return OpenDriver(2); }));
  server_->SetFaults(2, {.unplugged = true});
  EXPECT_EQ(imu->Start().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(num_opened_, 1);
}

}  // namespace
}  // namespace demorl
