#include <algorithm>
#include <cstdlib>
#include <vector>

#include "common/robot/drivers/b3m/b3m_emulator.h"

namespace demorl {
namespace {

std::vector<std::vector<uint8_t>> Parse(std::span<const uint8_t> bytes, size_t piece) {
  b3m::Parser parser;
  std::vector<std::vector<uint8_t>> found;
  for (; !bytes.empty(); bytes = bytes.subspan(std::min(piece, bytes.size()))) {
    parser.Push(bytes.first(std::min(piece, bytes.size())));
    while (const std::optional<b3m::Packet> packet = parser.Next()) {
      found.emplace_back(packet->body.begin(), packet->body.end());
      found.back().push_back(packet->command);
      b3m::ParseWrite(*packet);
    }
  }
  return found;
}

}  // namespace
}  // namespace demorl

// The first byte chooses how the others are split; the split must not change what is found. Then servos hear
// them: whatever they answer are packets.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace demorl;
  if (size == 0) {
    return 0;
  }
  const std::span<const uint8_t> bytes(data + 1, size - 1);
  if (Parse(bytes, 512) != Parse(bytes, 1 + data[0] % 16)) {
    std::abort();
  }
  B3mEmulator emulator({.servos = {{1, 0}, {2, 1}, {3, 2}}});
  std::vector<uint8_t> replies;
  emulator.Receive(bytes, absl::Seconds(1), replies);
  emulator.Receive({}, absl::Seconds(1000), replies);
  b3m::Parser parser;
  for (std::span<const uint8_t> rest(replies); !rest.empty(); rest = rest.subspan(1)) {
    parser.Push(rest.first(1));
    while (const std::optional<b3m::Packet> packet = parser.Next()) {
      if (!packet->is_reply()) {
        std::abort();
      }
    }
  }
  if (parser.skipped_bytes() != 0) {
    std::abort();
  }
  return 0;
}
