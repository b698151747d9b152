#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <memory>
#include <vector>

#include "common/robot/drivers/moteus/fdcanusb_port.h"
#include "common/robot/drivers/moteus/moteus_bus.h"
#include "common/robot/drivers/moteus/moteus_emulator.h"

namespace demorl {
namespace {

void Require(bool condition) {
  if (!condition) {
    std::abort();
  }
}

// Gives the input in pieces of one size, whatever is written.
class InputStream final : public ByteStream {
 public:
  InputStream(std::span<const uint8_t> bytes, size_t piece) : bytes_(bytes), piece_(piece) {}

  IoResult Write(std::span<const uint8_t> bytes) override { return {.num_bytes = bytes.size()}; }
  IoResult Read(std::span<uint8_t> bytes, absl::Duration /*deadline*/) override {
    const size_t count = std::min({piece_, bytes.size(), bytes_.size()});
    std::copy_n(bytes_.begin(), count, bytes.begin());
    bytes_ = bytes_.subspan(count);
    return count > 0 ? IoResult{.num_bytes = count} : IoResult{.code = IoResult::Code::kTimedOut};
  }
  void DiscardInput() override {}

 private:
  std::span<const uint8_t> bytes_;
  const size_t piece_;
};

// What is read can be written, and is then read the same.
void CheckFrame(const CanFrame& frame) {
  FdcanusbBuffer line;
  const size_t size = WriteReceivedLine(frame, true, line);
  const FdcanusbLine again = ParseFdcanusbLine({line.data(), size - 1});
  Require(again.kind == FdcanusbLine::Kind::kReceived && again.frame.id == frame.id &&
          std::ranges::equal(again.frame.payload(), frame.payload()));
  MoteusFrameReader reader(frame.payload());
  for (MoteusItem item; reader.Next(item);) {
    if (item.kind == MoteusSubframe::kWrite || item.kind == MoteusSubframe::kReply) {
      CanFrame copy;
      Require(MoteusFrameWriter(copy).Append(item.kind, {&item.register_value, 1}));
      MoteusItem found;
      Require(MoteusFrameReader(copy.payload()).Next(found));
      const double value = item.register_value.value;
      // Where a rounded scale meets cutting towards zero, one count is lost: 10 W at most.
      const double tolerance = 10.1 + std::abs(value) * 1e-6;
      Require(std::isnan(value) ? std::isnan(found.register_value.value)
                                : value == found.register_value.value ||
                                      std::abs(value - found.register_value.value) <= tolerance);
    }
  }
}

// All frames that a port makes of the input.
std::vector<CanFrame> Frames(std::span<const uint8_t> bytes, bool checksums, size_t piece,
                             CanPortCounters& counters) {
  FdcanusbPort port({.checksums = checksums}, std::make_unique<InputStream>(bytes, piece));
  std::vector<CanFrame> frames;
  CanFrame frame;
  while (port.Receive(frame, absl::InfiniteDuration()).ok()) {
    frames.push_back(frame);
  }
  counters = port.counters();
  return frames;
}

void CheckPort(std::span<const uint8_t> bytes, bool checksums, size_t piece) {
  CanPortCounters whole_counters;
  CanPortCounters split_counters;
  const std::vector<CanFrame> whole = Frames(bytes, checksums, 1024, whole_counters);
  const std::vector<CanFrame> split = Frames(bytes, checksums, piece, split_counters);
  Require(whole_counters.bad_messages == split_counters.bad_messages &&
          whole_counters.skipped_bytes == split_counters.skipped_bytes && whole.size() == split.size());
  for (size_t i = 0; i < whole.size(); ++i) {
    Require(whole[i].id == split[i].id && std::ranges::equal(whole[i].payload(), split[i].payload()));
    CheckFrame(whole[i]);
  }
}

void CheckBus(std::span<const uint8_t> bytes, bool checksums) {
  auto bus = MoteusBus::Create({.actuators = {{.id = 1}, {.id = 2}}},
                               std::make_unique<FdcanusbPort>(FdcanusbOptions{.checksums = checksums},
                                                              std::make_unique<InputStream>(bytes, 1024)));
  std::array<JointMeasurement, 2> measurements;
  const BusResult read = (*bus)->Read(absl::InfiniteDuration(), measurements);
  Require(read.ok() == (measurements[0].fresh && measurements[1].fresh));
}

void CheckEmulator(std::span<const uint8_t> bytes) {
  MoteusEmulator emulator({.controllers = {{.id = 1}}});
  std::vector<uint8_t> replies;
  emulator.Receive(bytes, absl::ZeroDuration(), replies);
  Require(std::isfinite(emulator.controller(0).Step(absl::Milliseconds(1), 1, 1)));
}

}  // namespace
}  // namespace demorl

// The first byte chooses checksums and pieces, the rest is what the wire carries.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace demorl;
  if (size == 0) {
    return 0;
  }
  const std::span<const uint8_t> bytes(data + 1, size - 1);
  const bool checksums = (data[0] & 0x80) != 0;
  CheckPort(bytes, checksums, 1 + data[0] % 16);
  CheckBus(bytes, checksums);
  CheckEmulator(bytes);
  if (bytes.size() <= CanFrame::kMaxSize) {
    CanFrame frame{.id = 0x8001, .size = static_cast<uint8_t>(bytes.size())};
    std::copy(bytes.begin(), bytes.end(), frame.data.begin());
    CheckFrame(frame);
  }
  return 0;
}
