#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "common/robot/drivers/b3m/b3m_registers.h"
#include "common/robot/transport/byte_window.h"

// Packets of the Kondo B3M servos: SIZE, COMMAND, OPTION (of a reply: status), ID, data, SUM. SIZE counts all
// bytes; SUM is the low byte of the sum of all before it; a reply sets the top bit of COMMAND. Nothing here
// allocates (but the parser's constructor), locks, or throws, and the encoders are async-signal-safe.
namespace demorl::b3m {

constexpr size_t kMinPacketBytes = 5;
constexpr size_t kMaxPacketBytes = 255;
constexpr uint8_t kReplyBit = 0x80;

struct Packet {
  // With kReplyBit in a reply.
  uint8_t command = 0;
  // StatusOption in a request, a status byte in a reply.
  uint8_t option = 0;
  // From ID to before SUM, at least the id. A view into the parser's buffer, until the parser's next call.
  std::span<const uint8_t> body;

  bool is_reply() const { return (command & kReplyBit) != 0; }
  // In a write to several servos: the first one's.
  uint8_t id() const { return body[0]; }
  std::span<const uint8_t> data() const { return body.subspan(1); }
};

// Encoders: fill `out` and return the number of bytes; 0 if `out` is too short or the packet too long.
size_t EncodePacket(uint8_t command, uint8_t option, uint8_t id, std::span<const uint8_t> data,
                    std::span<uint8_t> out);
size_t EncodeRead(uint8_t id, uint8_t address, uint8_t num_bytes, std::span<uint8_t> out);
size_t EncodeWrite(uint8_t id, uint8_t address, std::span<const uint8_t> data, std::span<uint8_t> out);
size_t EncodePosition(uint8_t id, int16_t centidegrees, uint16_t time_ms, std::span<uint8_t> out);
size_t EncodeReset(uint8_t id, uint8_t delay, std::span<uint8_t> out);
size_t EncodeReply(Command command, uint8_t status, uint8_t id, std::span<const uint8_t> data,
                   std::span<uint8_t> out);

// Frees every servo on a bus, whatever its id; none answers. For whoever must take the motors off without
// knowing the robot: the process that watches over one whose servos have no watchdog, a signal handler.
constexpr size_t kFreeAllBytes = 8;
size_t EncodeFreeAll(std::span<uint8_t> out);

// One write to several servos: the same address, a value for each. None answers.
class MultiWrite {
 public:
  // Fills `out`, which must outlive this. `value_bytes` is 1 or 2.
  MultiWrite(uint8_t address, size_t value_bytes, std::span<uint8_t> out);

  // `value` little-endian; of a one-byte register its low byte. What does not fit makes Finish return 0.
  void Add(uint8_t id, int16_t value);

  // Completes the packet; returns its size, 0 if nothing was added.
  size_t Finish();

 private:
  uint8_t address_;
  size_t value_bytes_;
  std::span<uint8_t> out_;
  size_t num_servos_ = 0;
  size_t size_ = 3;
  bool fits_ = true;
};

// A write request taken apart.
struct WriteView {
  uint8_t address = 0;
  size_t num_servos = 0;
  // Of each servo, without its id.
  size_t value_bytes = 0;
  // (id, value) of each servo.
  std::span<const uint8_t> entries;

  uint8_t id(size_t i) const { return entries[i * (value_bytes + 1)]; }
  std::span<const uint8_t> value(size_t i) const {
    return entries.subspan(i * (value_bytes + 1) + 1, value_bytes);
  }
};

// Empty if the sizes do not agree.
std::optional<WriteView> ParseWrite(const Packet& packet);

// Finds packets in a stream of bytes. After garbage it looks at every following byte for a start. Of one
// thread.
class Parser {
 public:
  // As ByteWindow::Push.
  void Push(std::span<const uint8_t> bytes) { window_.Push(bytes); }

  // The next packet with a right sum; empty when more bytes are needed.
  std::optional<Packet> Next();

  // As Next, when nothing more is to come: also looks behind an unfinished packet, whose start may have been
  // noise. Empty when nothing is left.
  std::optional<Packet> Flush();

  uint64_t skipped_bytes() const { return window_.skipped_bytes(); }
  // Whole packets with a wrong sum.
  uint64_t num_damaged() const { return num_damaged_; }

 private:
  ByteWindow window_{1024};
  uint64_t num_damaged_ = 0;
};

inline int16_t LoadI16(std::span<const uint8_t> bytes, size_t offset) {
  return static_cast<int16_t>(bytes[offset] | bytes[offset + 1] << 8);
}
inline uint16_t LoadU16(std::span<const uint8_t> bytes, size_t offset) {
  return static_cast<uint16_t>(bytes[offset] | bytes[offset + 1] << 8);
}
inline void StoreI16(int16_t value, std::span<uint8_t> bytes, size_t offset) {
  bytes[offset] = static_cast<uint8_t>(value);
  bytes[offset + 1] = static_cast<uint8_t>(static_cast<uint16_t>(value) >> 8);
}

}  // namespace demorl::b3m
