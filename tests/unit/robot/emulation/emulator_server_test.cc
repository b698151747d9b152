#include "common/robot/emulation/emulator_server.h"

#include <array>
#include <cstring>

#include "absl/synchronization/notification.h"
#include "common/base/clock.h"
#include "common/robot/transport/serial_port.h"
#include "gmock/gmock.h"
#include "tests/testing/status_matchers.h"

namespace demorl {
namespace {

class NoMotors final : public RobotPlant {
 public:
  int num_joints() const override { return 0; }
  void Advance(absl::Duration, std::span<const double>) override {}
  double position_rad(int) const override { return 0; }
  double velocity_rad_s(int) const override { return 0; }
};

// Sends zeros at every step, and announces when there was more than any port holds; then ones.
class TalkativeDevice final : public DeviceEmulator {
 public:
  static constexpr size_t kMany = 1 << 20;

  void Receive(std::span<const uint8_t>, absl::Duration, std::vector<uint8_t>&) override {}
  void Step(absl::Duration, const RobotPlant&, std::span<double>, std::vector<uint8_t>& output) override {
    output.assign(4096, num_bytes_ < kMany ? 0 : 1);
    num_bytes_ += output.size();
    if (num_bytes_ >= kMany && !sent_many.HasBeenNotified()) {
      sent_many.Notify();
    }
  }

  absl::Notification sent_many;

 private:
  size_t num_bytes_ = 0;
};

TEST(EmulatorServerTest, WhatAHostDoesNotReadIsLostAsOnAWire) {
  NoMotors plant;
  TalkativeDevice device;
  ASSERT_OK_AND_ASSIGN(auto server,
                       EmulatorServer::Start({.step = absl::Microseconds(100)}, {&device}, &plant));
  ASSERT_OK_AND_ASSIGN(auto port, SerialPort::Open({.path = server->path(0)}));
  device.sent_many.WaitForNotification();
  const absl::Duration patience = RealClock::Get().Now() + absl::Seconds(30);
  size_t num_old = 0;
  for (std::array<uint8_t, 4096> bytes; num_old < TalkativeDevice::kMany;) {
    const IoResult result = port->Read(bytes, patience);
    ASSERT_EQ(result.code, IoResult::Code::kOk);
    if (std::memchr(bytes.data(), 1, result.num_bytes) != nullptr) {
      break;
    }
    num_old += result.num_bytes;
  }
  EXPECT_LT(num_old, TalkativeDevice::kMany / 2);
}

}  // namespace
}  // namespace demorl
