#include <algorithm>
#include <array>
#include <memory>
#include <utility>
#include <vector>

#include "common/robot/drivers/dynamixel/dynamixel_bus.h"
#include "gtest/gtest.h"
#include "tests/testing/counting_allocator.h"
#include "tests/testing/status_matchers.h"
#include "tests/unit/robot/servo_bus/servo_rig.h"

namespace demorl {
namespace {

using ::demorl::testing::Position;
using ::demorl::testing::Torque;

constexpr int kJoints = 6;

// A wire whose devices answer each fast sync read and read with zeros and an alert, from memory of fixed
// size.
class ZeroDevices final : public ByteStream, public Clock {
 public:
  absl::Duration Now() const override { return now_; }
  IoResult Write(std::span<const uint8_t> bytes) override {
    now_ += absl::Microseconds(10) * static_cast<double>(bytes.size());
    parser_.Push(bytes);
    while (const std::optional<dxl::Packet> packet = parser_.Next()) {
      Answer(*packet);
    }
    return {.num_bytes = bytes.size()};
  }
  IoResult Read(std::span<uint8_t> bytes, absl::Duration deadline) override {
    if (reply_bytes_ == 0 || deadline < now_) {
      now_ = std::max(now_, deadline);
      return {.code = IoResult::Code::kTimedOut};
    }
    now_ += absl::Microseconds(10) * static_cast<double>(reply_bytes_);
    std::copy_n(reply_.begin(), reply_bytes_, bytes.begin());
    return {.num_bytes = std::exchange(reply_bytes_, 0)};
  }
  void DiscardInput() override {}

 private:
  void Answer(const dxl::Packet& packet) {
    const std::span<const uint8_t> zeros(zeros_);
    switch (static_cast<dxl::Instruction>(packet.instruction)) {
      case dxl::Instruction::kPing:
        reply_bytes_ = dxl::EncodeStatus(packet.id, 0, std::array<uint8_t, 3>{0xFC, 0x03, 46}, reply_);
        break;
      case dxl::Instruction::kRead: {
        std::array<uint8_t, 64> data = {};
        data[dxl::kMaxPosition - dxl::kCurrentLimit] = 1;
        reply_bytes_ = dxl::EncodeStatus(packet.id, dxl::kAlert,
                                         std::span(data).first(dxl::LoadU16(packet.parameters, 2)), reply_);
        break;
      }
      case dxl::Instruction::kWrite:
        reply_bytes_ = dxl::EncodeStatus(packet.id, 0, {}, reply_);
        break;
      case dxl::Instruction::kFastSyncRead: {
        const std::span<const uint8_t> ids = packet.parameters.subspan(4);
        const size_t num_bytes = dxl::LoadU16(packet.parameters, 2);
        dxl::FastStatusWriter writer(ids.size(), ids.size() * num_bytes, reply_);
        for (const uint8_t id : ids) {
          writer.Add(dxl::kAlert, id, zeros.first(num_bytes));
        }
        reply_bytes_ = writer.size();
        break;
      }
      default:
        break;
    }
  }

  absl::Duration now_ = absl::Seconds(1);
  dxl::Parser parser_;
  std::array<uint8_t, 64> zeros_ = {};
  std::array<uint8_t, dxl::kMaxPacketBytes> reply_;
  size_t reply_bytes_ = 0;
};

TEST(DynamixelAllocationTest, NeitherReadNorWriteAllocates) {
  if (!CountsAllocations()) {
    GTEST_SKIP() << "a sanitizer brings its own allocator";
  }
  auto devices = std::make_unique<ZeroDevices>();
  const ZeroDevices& clock = *devices;
  std::vector<std::unique_ptr<ByteStream>> streams;
  streams.push_back(std::move(devices));
  DynamixelOptions options;
  for (uint8_t id = 0; id < kJoints; ++id) {
    options.servos.push_back({0, id});
  }
  ASSERT_OK_AND_ASSIGN(std::unique_ptr<DynamixelBus> bus,
                       DynamixelBus::Create(options, std::move(streams), &clock));
  ASSERT_OK(bus->Configure(absl::Milliseconds(20)));
  std::vector<JointMeasurement> measurements(kJoints);
  const std::vector<JointCommand> torques(kJoints, Torque(0.02));
  const std::vector<JointCommand> positions(kJoints, Position(0.1));
  const int64_t before = NumAllocations();
  for (const std::vector<JointCommand>* commands : {&torques, &positions, &torques}) {
    EXPECT_TRUE(bus->Read(clock.Now() + absl::Milliseconds(8), measurements).ok());
    EXPECT_TRUE(bus->Write(*commands).ok());
  }
  EXPECT_EQ(NumAllocations() - before, 0);
  EXPECT_TRUE(measurements[5].fresh);
}

}  // namespace
}  // namespace demorl
