#include <algorithm>
#include <cstdlib>
#include <vector>

#include "common/robot/drivers/dynamixel/dynamixel_emulator.h"

namespace demorl {
namespace {

std::vector<std::vector<uint8_t>> Parse(std::span<const uint8_t> bytes, size_t piece) {
  dxl::Parser parser;
  std::vector<std::vector<uint8_t>> found;
  for (; !bytes.empty(); bytes = bytes.subspan(std::min(piece, bytes.size()))) {
    parser.Push(bytes.first(std::min(piece, bytes.size())));
    while (const std::optional<dxl::Packet> packet = parser.Next()) {
      found.emplace_back(packet->parameters.begin(), packet->parameters.end());
      found.back().push_back(packet->instruction);
      for (size_t i = 0; i < 4; ++i) {
        dxl::ReadFastBlock(packet->raw, i, 10);
      }
    }
  }
  return found;
}

}  // namespace
}  // namespace demorl

// The first byte chooses how the others are split; the split must not change what is found. Then actuators
// hear them: whatever they answer are status packets.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace demorl;
  if (size == 0) {
    return 0;
  }
  const std::span<const uint8_t> bytes(data + 1, size - 1);
  if (Parse(bytes, 1024) != Parse(bytes, 1 + data[0] % 16)) {
    std::abort();
  }
  DynamixelEmulator emulator({.servos = {{.id = 1}, {.id = 2}, {.id = 3, .model = dxl::FindModel(1060)}}});
  std::vector<uint8_t> replies;
  emulator.Receive(bytes, absl::Seconds(1), replies);
  emulator.Receive({}, absl::Seconds(1000), replies);
  dxl::Parser parser;
  for (std::span<const uint8_t> rest(replies); !rest.empty(); rest = rest.subspan(1)) {
    parser.Push(rest.first(1));
    while (const std::optional<dxl::Packet> packet = parser.Next()) {
      if (!packet->is_status()) {
        std::abort();
      }
    }
  }
  // A fast status ends where an actuator is silent; all else is whole.
  return 0;
}
