#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "common/robot/transport/can_port.h"

// The text protocol of the fdcanusb adapter, and its variant with checksums that moteus controllers speak on
// a UART: lines of 7-bit ASCII, in both directions. Source: mjbots/fdcanusb README.md; mjbots/moteus
// docs/integration/uart.md. No allocation anywhere.
namespace demorl {

// CRC-8, polynomial 0x97, initial value 0, most significant bit first.
uint8_t Crc8(std::string_view bytes);

// Longer than any line of the protocol.
inline constexpr size_t kMaxFdcanusbLine = 256;

// Cuts a stream of bytes into lines, whatever pieces it comes in. Lines that are too long or hold other than
// printable ASCII are skipped whole: what follows their end is sound again.
class FdcanusbLineReader {
 public:
  // True if `byte` ended a line, which line() then returns until the next call.
  bool Push(uint8_t byte);

  std::string_view line() const { return {line_.data(), size_}; }

  // Of lines that were skipped.
  uint64_t skipped_bytes() const { return skipped_bytes_; }

 private:
  std::array<char, kMaxFdcanusbLine> line_;
  size_t size_ = 0;
  bool complete_ = false;
  bool skipping_ = false;
  uint64_t skipped_bytes_ = 0;
};

struct FdcanusbLine {
  enum class Kind : uint8_t {
    kOk,
    // "ERR", with the reason in `text`.
    kError,
    // "rcv": a frame from the bus.
    kReceived,
    // "can send", "can std" or "can ext": a frame for the bus.
    kSend,
    // A command or answer without a frame, in `text`.
    kOther,
    // A frame that cannot be read, or a checksum that does not fit.
    kMalformed,
    kWrongChecksum,
  };
  Kind kind = Kind::kOther;
  bool has_checksum = false;
  CanFrame frame;
  // Within the parsed line, without its checksum.
  std::string_view text;
};

FdcanusbLine ParseFdcanusbLine(std::string_view line);

// Each writes one line with its end into `out` and returns its length. `checksum`: as the UART variant wants
// it.
using FdcanusbBuffer = std::array<char, kMaxFdcanusbLine>;
size_t WriteSendLine(const CanFrame& frame, bool checksum, FdcanusbBuffer& out);
size_t WriteReceivedLine(const CanFrame& frame, bool checksum, FdcanusbBuffer& out);
// `text` of up to 200 characters, for example "OK".
size_t WriteTextLine(std::string_view text, bool checksum, FdcanusbBuffer& out);

}  // namespace demorl
