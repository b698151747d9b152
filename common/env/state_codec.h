#pragma once

#include <cstring>
#include <string>
#include <type_traits>
#include <vector>

#include "absl/strings/string_view.h"

namespace demorl {

// Writes and reads the plain values of a saved environment. Bytes are those of this machine: a saved state is
// for the same build.
class StateWriter {
 public:
  template <typename T>
  void Value(const T& value) {
    static_assert(std::is_trivially_copyable_v<T>);
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof(T));
  }
  void Text(absl::string_view text) {
    Value(static_cast<uint64_t>(text.size()));
    bytes_.append(text.data(), text.size());
  }
  std::string Take() { return std::move(bytes_); }

 private:
  std::string bytes_;
};

// Every read answers false once the bytes are used up.
class StateReader {
 public:
  explicit StateReader(absl::string_view bytes) : bytes_(bytes) {}

  template <typename T>
  bool Value(T& value) {
    static_assert(std::is_trivially_copyable_v<T>);
    if (bytes_.size() < sizeof(T)) {
      return false;
    }
    std::memcpy(&value, bytes_.data(), sizeof(T));
    bytes_.remove_prefix(sizeof(T));
    return true;
  }
  bool Text(absl::string_view& text) {
    uint64_t size = 0;
    if (!Value(size) || bytes_.size() < size) {
      return false;
    }
    text = bytes_.substr(0, size);
    bytes_.remove_prefix(size);
    return true;
  }
  bool AtEnd() const { return bytes_.empty(); }

 private:
  absl::string_view bytes_;
};

}  // namespace demorl
