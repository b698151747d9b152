#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/robot/recording/tick_record.h"
#include "common/robot/safety/safety_envelope.h"

namespace demorl {

// What a log of ticks says about the robot it is of.
struct TickLogHeader {
  std::string robot_name;
  // Of the environment the robot learns in.
  std::string schema_hash;
  int num_joints = 0;
  int observation_size = 0;
  int action_size = 0;
  absl::Duration control_period;
  // Actions are the policy's mean, not draws.
  bool acts_by_mean = false;
  // Of the safety envelope, one per joint.
  std::vector<JointLimits> limits;
  absl::Time start_time;
};

// Layout of a log: the header in the first kTickLogHeaderBytes, then `num_slots` slots of SlotBytes. Record
// number n (from 1) is in slot n modulo num_slots, as TickSlotHead and the packed record. Records are the
// bytes of TickRecord as this build lays it out, little-endian, and a header of another layout is refused.
inline constexpr int64_t kTickLogHeaderBytes = 8192;
inline constexpr char kTickLogFileName[] = "ticks.log";

struct TickSlotHead {
  uint64_t number = 0;  // 0: never written
  uint32_t crc = 0;     // CRC32C over the number and the packed record
  uint32_t reserved = 0;
};

// Copies of a TickRecord without the entries of its arrays that a robot does not have.
class TickPacker {
 public:
  explicit TickPacker(const TickLogHeader& header);

  size_t packed_bytes() const { return packed_bytes_; }
  size_t slot_bytes() const { return (sizeof(TickSlotHead) + packed_bytes_ + 7) / 8 * 8; }

  // A whole slot of slot_bytes.
  void Pack(uint64_t number, const TickRecord& record, std::string& slot) const;
  // The record's number; 0 if the slot is empty or its CRC is wrong.
  uint64_t Unpack(absl::string_view slot, TickRecord& record) const;

 private:
  struct Span {
    size_t offset = 0;
    size_t num_bytes = 0;
  };
  std::vector<Span> spans_;
  size_t packed_bytes_ = 0;
};

struct DecodedTickLogHeader {
  TickLogHeader header;
  uint64_t num_slots = 0;
};

// kTickLogHeaderBytes. INVALID_ARGUMENT for sizes that a TickRecord does not hold, or names that are too
// long.
absl::StatusOr<std::string> EncodeTickLogHeader(const TickLogHeader& header, uint64_t num_slots);
// INVALID_ARGUMENT if it is no such header, DATA_LOSS if its CRC is wrong, FAILED_PRECONDITION if another
// build has written it.
absl::StatusOr<DecodedTickLogHeader> DecodeTickLogHeader(absl::string_view bytes);

}  // namespace demorl
