#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace demorl {

// Little-endian records of the store and of saved states.
class ByteWriter {
 public:
  void PutU8(uint8_t value) { bytes_.push_back(static_cast<char>(value)); }
  void PutU32(uint32_t value) { PutRaw(&value, sizeof(value)); }
  void PutU64(uint64_t value) { PutRaw(&value, sizeof(value)); }
  void PutDouble(double value) { PutRaw(&value, sizeof(value)); }
  // With their length before them.
  void PutString(absl::string_view value);
  void PutFloats(const std::vector<float>& values);
  void PutU64s(const std::vector<uint64_t>& values);

  const std::string& bytes() const { return bytes_; }
  std::string Take() { return std::move(bytes_); }

 private:
  void PutRaw(const void* data, size_t size) { bytes_.append(static_cast<const char*>(data), size); }

  std::string bytes_;
};

// Reads what ByteWriter wrote. Reading past the end gives zeros and makes ok() false; lengths are checked
// against the bytes that are left before anything is allocated.
class ByteReader {
 public:
  explicit ByteReader(absl::string_view bytes) : rest_(bytes) {}

  uint8_t GetU8();
  uint32_t GetU32();
  uint64_t GetU64();
  double GetDouble();
  std::string GetString();
  std::vector<float> GetFloats();
  std::vector<uint64_t> GetU64s();

  bool ok() const { return ok_; }
  // All was well, and nothing is left.
  bool done() const { return ok_ && rest_.empty(); }

 private:
  bool GetRaw(void* data, size_t size);
  template <typename T>
  std::vector<T> GetVector();

  absl::string_view rest_;
  bool ok_ = true;
};

}  // namespace demorl
