#pragma once

#include <cstdint>
#include <cstring>
#include <string>

#include "absl/strings/string_view.h"

namespace demorl {

// Encodes fields in protobuf's wire format, for messages of other projects of which a handful of fields is
// written: no generated code, no vendored schema.
class WireWriter {
 public:
  void Varint(int field, uint64_t value) {
    Tag(field, 0);
    Raw(value);
  }
  void Double(int field, double value) {
    Tag(field, 1);
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof(value));
  }
  void Float(int field, float value) {
    Tag(field, 5);
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof(value));
  }
  // A string, bytes or an embedded message.
  void Bytes(int field, absl::string_view value) {
    Tag(field, 2);
    Raw(value.size());
    bytes_.append(value.data(), value.size());
  }
  void Message(int field, const WireWriter& message) { Bytes(field, message.bytes_); }

  const std::string& bytes() const { return bytes_; }

 private:
  void Tag(int field, int wire_type) { Raw(static_cast<uint64_t>(field) << 3 | wire_type); }
  void Raw(uint64_t value) {
    for (; value >= 0x80; value >>= 7) {
      bytes_.push_back(static_cast<char>(value | 0x80));
    }
    bytes_.push_back(static_cast<char>(value));
  }

  std::string bytes_;
};

}  // namespace demorl
