#include <algorithm>
#include <array>
#include <memory>
#include <utility>
#include <vector>

#include "common/robot/drivers/b3m/b3m_bus.h"
#include "gtest/gtest.h"
#include "tests/testing/counting_allocator.h"
#include "tests/testing/status_matchers.h"
#include "tests/unit/robot/servo_bus/servo_rig.h"

namespace demorl {
namespace {

using ::demorl::testing::Position;
using ::demorl::testing::Torque;

constexpr int kJoints = 12;

// A wire whose servos answer each read with zeros and a motor error, from memory of fixed size.
class ZeroServos final : public ByteStream, public Clock {
 public:
  absl::Duration Now() const override { return now_; }
  IoResult Write(std::span<const uint8_t> bytes) override {
    now_ += absl::Microseconds(7) * static_cast<double>(bytes.size());
    parser_.Push(bytes);
    while (const std::optional<b3m::Packet> packet = parser_.Next()) {
      if (packet->command == static_cast<uint8_t>(b3m::Command::kRead)) {
        reply_bytes_ = b3m::EncodeReply(b3m::Command::kRead, b3m::kMotorError, packet->id(),
                                        std::span(zeros_).first(packet->data()[1]), reply_);
      }
    }
    return {.num_bytes = bytes.size()};
  }
  IoResult Read(std::span<uint8_t> bytes, absl::Duration deadline) override {
    if (reply_bytes_ == 0 || deadline < now_) {
      now_ = std::max(now_, deadline);
      return {.code = IoResult::Code::kTimedOut};
    }
    now_ += absl::Microseconds(400);
    std::copy_n(reply_.begin(), reply_bytes_, bytes.begin());
    return {.num_bytes = std::exchange(reply_bytes_, 0)};
  }
  void DiscardInput() override {}

 private:
  absl::Duration now_ = absl::Seconds(1);
  b3m::Parser parser_;
  std::array<uint8_t, 64> zeros_ = {};
  std::array<uint8_t, 64> reply_;
  size_t reply_bytes_ = 0;
};

TEST(B3mAllocationTest, NeitherReadNorWriteAllocates) {
  if (!CountsAllocations()) {
    GTEST_SKIP() << "a sanitizer brings its own allocator";
  }
  auto servos = std::make_unique<ZeroServos>();
  const ZeroServos& clock = *servos;
  std::vector<std::unique_ptr<ByteStream>> streams;
  streams.push_back(std::move(servos));
  B3mOptions options;
  for (uint8_t id = 0; id < kJoints; ++id) {
    options.servos.push_back({0, id});
  }
  ASSERT_OK_AND_ASSIGN(std::unique_ptr<B3mBus> bus, B3mBus::Create(options, std::move(streams), &clock));
  std::vector<JointMeasurement> measurements(kJoints);
  const std::vector<JointCommand> torques(kJoints, Torque(0.02));
  const std::vector<JointCommand> positions(kJoints, Position(0.1));
  const int64_t before = NumAllocations();
  for (const std::vector<JointCommand>* commands : {&torques, &positions}) {
    EXPECT_TRUE(bus->Read(clock.Now() + absl::Milliseconds(8), measurements).ok());
    EXPECT_TRUE(bus->Write(*commands).ok());
  }
  EXPECT_EQ(NumAllocations() - before, 0);
  EXPECT_NE(measurements[0].fault, 0);
}

}  // namespace
}  // namespace demorl
