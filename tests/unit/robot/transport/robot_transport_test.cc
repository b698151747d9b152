#include <unistd.h>

#include <array>
#include <thread>

#include "common/base/clock.h"
#include "common/robot/transport/pty_pair.h"
#include "common/robot/transport/serial_port.h"
#include "gmock/gmock.h"
#include "tests/testing/status_matchers.h"

namespace demorl {
namespace {

using ::demorl::testing::StatusIs;
using ::testing::HasSubstr;

absl::Duration In(absl::Duration delay) { return RealClock::Get().Now() + delay; }

TEST(SerialPortTest, CarriesEveryByteValueBothWays) {
  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<PtyPair> device, PtyPair::Open());
  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<SerialPort> port,
                       SerialPort::Open({.path = device->path(), .baud_rate = 1'500'000}));
  std::array<uint8_t, 256> all;
  for (int i = 0; i < 256; ++i) {
    all[i] = static_cast<uint8_t>(i);
  }
  for (auto [sender, receiver] : {std::pair<ByteStream*, ByteStream*>{port.get(), device.get()},
                                  std::pair<ByteStream*, ByteStream*>{device.get(), port.get()}}) {
    ASSERT_EQ(sender->Write(all).num_bytes, all.size());
    std::vector<uint8_t> received;
    std::array<uint8_t, 100> piece;
    while (received.size() < all.size()) {
      const IoResult read = receiver->Read(piece, In(absl::Seconds(10)));
      ASSERT_TRUE(read.ok());
      received.insert(received.end(), piece.begin(), piece.begin() + read.num_bytes);
    }
    EXPECT_TRUE(std::equal(all.begin(), all.end(), received.begin()));
  }
}

TEST(SerialPortTest, AReadOfNothingTimesOutAtItsDeadlineAndNotBefore) {
  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<PtyPair> device, PtyPair::Open());
  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<SerialPort> port, SerialPort::Open({.path = device->path()}));
  std::array<uint8_t, 8> bytes;
  const absl::Duration deadline = In(absl::Milliseconds(20));
  EXPECT_EQ(port->Read(bytes, deadline).code, IoResult::Code::kTimedOut);
  EXPECT_GE(RealClock::Get().Now(), deadline);
  EXPECT_EQ(port->Read(bytes, absl::ZeroDuration()).code, IoResult::Code::kTimedOut);
}

TEST(SerialPortTest, APulledCableIsSeenByAWaitingReadAndByWrites) {
  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<PtyPair> device, PtyPair::Open());
  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<SerialPort> port, SerialPort::Open({.path = device->path()}));
  std::thread pull([&] { device->Unplug(); });
  std::array<uint8_t, 8> bytes{};
  EXPECT_EQ(port->Read(bytes, absl::InfiniteDuration()).code, IoResult::Code::kClosed);
  pull.join();
  EXPECT_EQ(port->Write(bytes).code, IoResult::Code::kClosed);
}

TEST(SerialPortTest, DiscardsWhatHasArrived) {
  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<PtyPair> device, PtyPair::Open());
  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<SerialPort> port, SerialPort::Open({.path = device->path()}));
  const std::array<uint8_t, 3> old = {1, 2, 3};
  const std::array<uint8_t, 1> fresh = {4};
  ASSERT_TRUE(device->Write(old).ok());
  port->DiscardInput();
  ASSERT_TRUE(device->Write(fresh).ok());
  std::array<uint8_t, 8> bytes{};
  ASSERT_EQ(port->Read(bytes, In(absl::Seconds(10))).num_bytes, 1);
  EXPECT_EQ(bytes[0], 4);
}

TEST(SerialPortTest, SaysWhatIsWrongWithAPath) {
  EXPECT_THAT(SerialPort::Open({.path = "/dev/ttyUSB77"}).status(),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("/dev/ttyUSB77")));
  EXPECT_THAT(SerialPort::Open({.path = "/dev/null"}).status(),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("no serial port")));
  EXPECT_THAT(SerialPort::Open({.path = "/dev/null", .baud_rate = 0}).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("want > 0")));
}

TEST(SerialPortTest, APortIsHeldByOne) {
  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<PtyPair> device, PtyPair::Open());
  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<SerialPort> port, SerialPort::Open({.path = device->path()}));
  EXPECT_THAT(SerialPort::Open({.path = device->path()}).status(),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("holds it")));
}

}  // namespace
}  // namespace demorl
