// What the emulated IMUs answer to commands that our drivers do not send, or send wrongly.
#include <gmock/gmock.h>

#include <string>
#include <vector>

#include "common/robot/drivers/imu/vectornav_emulator.h"
#include "common/robot/drivers/imu/xsens_emulator.h"

namespace demorl {
namespace {

using ::testing::HasSubstr;

ImuMotion AtRest(absl::Duration) { return {}; }

TEST(XsensEmulatorTest, AnswersAsTheDeviceDoes) {
  XsensEmulator emulator({.device_id = 0x037003f8}, AtRest);
  const auto ask = [&emulator](XbusId id, std::vector<uint8_t> data) {
    std::vector<uint8_t> bytes, replies;
    AppendXbusMessage(static_cast<uint8_t>(id), data, bytes);
    emulator.Receive(bytes, absl::ZeroDuration(), replies);
    return replies;
  };
  using Bytes = std::vector<uint8_t>;
  EXPECT_EQ(ask(XbusId::kReqDeviceId, {}), (Bytes{0xfa, 0xff, 0x42, 1, 4, 0xba})) << "while measuring";
  EXPECT_EQ(ask(XbusId::kGoToConfig, {}), (Bytes{0xfa, 0xff, 0x31, 0, 0xd0}));
  EXPECT_EQ(ask(XbusId::kReqDeviceId, {}), (Bytes{0xfa, 0xff, 0x01, 4, 3, 0x70, 3, 0xf8, 0x8e}));
  EXPECT_EQ(ask(XbusId::kOutputConfiguration, {0x12, 0x34, 0, 100}),
            (Bytes{0xfa, 0xff, 0x42, 1, 0x21, 0x9d}));
}

TEST(VectorNavEmulatorTest, AnswersAsTheDeviceDoes) {
  VectorNavEmulator emulator({}, AtRest);
  const auto ask = [&emulator](std::string text) {
    std::vector<uint8_t> replies;
    emulator.Receive({reinterpret_cast<const uint8_t*>(text.data()), text.size()}, absl::ZeroDuration(),
                     replies);
    return std::string(replies.begin(), replies.end());
  };
  EXPECT_THAT(ask("$VNRRG,07*XX\r\n"), HasSubstr("$VNRRG,07,40*"));
  EXPECT_EQ(ask("$VNWRG,07,50*58\r\n"), "$VNWRG,07,50*58\r\n");
  EXPECT_THAT(ask("$VNRRG,07*XX\r\n"), HasSubstr("$VNRRG,07,50*"));
  EXPECT_EQ(ask("$VNFOO*XX\r\n"), "$VNERR,04*75\r\n");
  EXPECT_EQ(ask("$VNRRG,99*XX\r\n"), "$VNERR,08*79\r\n");
  EXPECT_THAT(ask("$VNWRG,75,1,4,01*XX\r\n"), HasSubstr("$VNERR,05"));
  EXPECT_THAT(ask("$VNWRG,75,1,0,01,0128*XX\r\n"), HasSubstr("$VNERR,07"));
  EXPECT_THAT(ask("$VNWRG,05,9600*XX\r\n"), HasSubstr("$VNERR,09"));
}

}  // namespace
}  // namespace demorl
