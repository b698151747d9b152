#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "common/robot/transport/byte_window.h"

// Packets of DYNAMIXEL Protocol 2.0: FF FF FD 00, ID, LENGTH (2), INSTRUCTION, parameters, CRC (2). FF FF FD
// between INSTRUCTION and CRC is stuffed to FF FF FD FD; LENGTH counts from INSTRUCTION to CRC, after
// stuffing. Source: ROBOTIS e-Manual, DYNAMIXEL Protocol 2.0. Nothing here allocates (but the parser's
// constructor), locks or throws.
namespace demorl::dxl {

constexpr uint8_t kBroadcastId = 0xFE;
constexpr uint8_t kMaxId = 252;
// Header, id, length, instruction, CRC.
constexpr size_t kMinPacketBytes = 10;
constexpr size_t kMinStatusBytes = kMinPacketBytes + 1;
constexpr size_t kMaxPacketBytes = 1024;
// Of a fast status: before its blocks, and around the data of each (ERROR, ID, CRC).
constexpr size_t kFastHeaderBytes = 8;
constexpr size_t kFastBlockBytes = 4;

enum class Instruction : uint8_t {
  kPing = 0x01,
  kRead = 0x02,
  kWrite = 0x03,
  kRegWrite = 0x04,
  kAction = 0x05,
  kFactoryReset = 0x06,
  kReboot = 0x08,
  kClear = 0x10,
  kStatus = 0x55,
  kSyncRead = 0x82,
  kSyncWrite = 0x83,
  kFastSyncRead = 0x8A,
  kBulkRead = 0x92,
  kBulkWrite = 0x93,
  kFastBulkRead = 0x9A,
};

// Of a status packet; kAlert may be set beside any, and says that the hardware error register is not 0.
enum Error : uint8_t {
  kNone = 0,
  kResultFail = 1,
  kInstructionError = 2,
  kCrcError = 3,
  kRangeError = 4,
  kLengthError = 5,
  kLimitError = 6,
  kAccessError = 7,
  kAlert = 0x80,
};

// CRC-16, polynomial 0x8005, most significant bit first, no reflection.
uint16_t Crc16(std::span<const uint8_t> bytes, uint16_t crc = 0);

// Encoders: fill `out` and return the number of bytes; 0 if `out` is too short or the packet too long.
size_t EncodePacket(uint8_t id, Instruction instruction, std::span<const uint8_t> parameters,
                    std::span<uint8_t> out);
size_t EncodeStatus(uint8_t id, uint8_t error, std::span<const uint8_t> data, std::span<uint8_t> out);
size_t EncodeRead(uint8_t id, uint16_t address, uint16_t num_bytes, std::span<uint8_t> out);
size_t EncodeWrite(uint8_t id, uint16_t address, std::span<const uint8_t> data, std::span<uint8_t> out);
// `instruction` kSyncRead or kFastSyncRead.
size_t EncodeSyncRead(Instruction instruction, uint16_t address, uint16_t num_bytes,
                      std::span<const uint8_t> ids, std::span<uint8_t> out);

// One write to several devices: the same address, a value for each. None answers.
class SyncWrite {
 public:
  // `value_bytes` is 1, 2 or 4.
  SyncWrite(uint16_t address, uint16_t value_bytes);
  // Little-endian, as many bytes of `value` as the register has.
  void Add(uint8_t id, int32_t value);
  // The packet into `out`; 0 if nothing was added, or if it does not fit.
  size_t Encode(std::span<uint8_t> out) const;

 private:
  const uint16_t value_bytes_;
  std::array<uint8_t, kMaxPacketBytes / 2> parameters_;
  size_t size_ = 4;
  bool fits_ = true;
};

// The one status packet with which several devices answer a fast sync read or fast bulk read: (ERROR, ID,
// data, CRC) of each, the CRC of a block over all of the packet before it; no stuffing.
class FastStatusWriter {
 public:
  // Of `num_devices` blocks, which hold so many bytes of data together.
  FastStatusWriter(size_t num_devices, size_t data_bytes, std::span<uint8_t> out);
  void Add(uint8_t error, uint8_t id, std::span<const uint8_t> data);
  // Bytes so far: of a whole packet, or of its beginning if a device was silent. 0 if `out` is too short.
  size_t size() const { return size_; }

 private:
  std::span<uint8_t> out_;
  size_t size_ = 0;
};

struct Packet {
  uint8_t id = 0;
  uint8_t instruction = 0;
  // Without stuffing; of a status packet the first is the error. A view, until the parser's next call.
  std::span<const uint8_t> parameters;
  // The whole of it as it came, for the blocks of fast sync read.
  std::span<const uint8_t> raw;
  // Only if the parser was asked to show packets with a wrong CRC too.
  bool crc_ok = true;

  bool is_status() const { return instruction == static_cast<uint8_t>(Instruction::kStatus); }
};

// A device's part of a fast status packet.
struct FastBlock {
  uint8_t error = 0;
  uint8_t id = 0;
  std::span<const uint8_t> data;
};

// Block `index` of `raw`, which may be the beginning of a packet only; empty if it is not all there or its
// CRC is wrong.
std::optional<FastBlock> ReadFastBlock(std::span<const uint8_t> raw, size_t index, size_t data_bytes);

// Finds packets in a stream of bytes. Of one thread.
class Parser {
 public:
  explicit Parser(bool shows_bad_crc = false) : shows_bad_crc_(shows_bad_crc) {}

  // As ByteWindow::Push.
  void Push(std::span<const uint8_t> bytes) { window_.Push(bytes); }
  // The next packet; empty when more bytes are needed.
  std::optional<Packet> Next();
  // The bytes of a packet that has begun, when Next gives none. They count as skipped if Flush follows.
  std::span<const uint8_t> Unfinished() const { return window_.unread(); }
  // As Next, when nothing more is to come: also looks behind an unfinished packet.
  std::optional<Packet> Flush();

  uint64_t skipped_bytes() const { return window_.skipped_bytes(); }
  // Whole packets with a wrong CRC.
  uint64_t num_damaged() const { return num_damaged_; }

 private:
  Packet MakePacket(std::span<const uint8_t> raw, bool crc_ok);

  const bool shows_bad_crc_;
  ByteWindow window_{4 * kMaxPacketBytes};
  std::array<uint8_t, kMaxPacketBytes> parameters_;
  uint64_t num_damaged_ = 0;
};

// Little-endian.
inline uint16_t LoadU16(std::span<const uint8_t> bytes, size_t offset) {
  return static_cast<uint16_t>(bytes[offset] | bytes[offset + 1] << 8);
}
inline int16_t LoadI16(std::span<const uint8_t> bytes, size_t offset) {
  return static_cast<int16_t>(LoadU16(bytes, offset));
}
inline int32_t LoadI32(std::span<const uint8_t> bytes, size_t offset) {
  return static_cast<int32_t>(static_cast<uint32_t>(LoadU16(bytes, offset)) |
                              static_cast<uint32_t>(LoadU16(bytes, offset + 2)) << 16);
}
inline void Store(int32_t value, size_t num_bytes, std::span<uint8_t> bytes, size_t offset) {
  for (size_t i = 0; i < num_bytes; ++i) {
    bytes[offset + i] = static_cast<uint8_t>(static_cast<uint32_t>(value) >> 8 * i);
  }
}

}  // namespace demorl::dxl
