#include "services/replay/core/byte_codec.h"

#include <bit>
#include <cstring>

namespace demorl {

static_assert(std::endian::native == std::endian::little, "records are little-endian and copied as they are");

void ByteWriter::PutString(absl::string_view value) {
  PutU64(value.size());
  PutRaw(value.data(), value.size());
}

void ByteWriter::PutFloats(const std::vector<float>& values) {
  PutU64(values.size());
  PutRaw(values.data(), values.size() * sizeof(float));
}

void ByteWriter::PutU64s(const std::vector<uint64_t>& values) {
  PutU64(values.size());
  PutRaw(values.data(), values.size() * sizeof(uint64_t));
}

bool ByteReader::GetRaw(void* data, size_t size) {
  if (!ok_ || rest_.size() < size) {
    ok_ = false;
    return false;
  }
  if (size > 0) {
    std::memcpy(data, rest_.data(), size);
  }
  rest_.remove_prefix(size);
  return true;
}

uint8_t ByteReader::GetU8() {
  uint8_t value = 0;
  GetRaw(&value, sizeof(value));
  return value;
}

uint32_t ByteReader::GetU32() {
  uint32_t value = 0;
  GetRaw(&value, sizeof(value));
  return value;
}

uint64_t ByteReader::GetU64() {
  uint64_t value = 0;
  GetRaw(&value, sizeof(value));
  return value;
}

double ByteReader::GetDouble() {
  double value = 0;
  GetRaw(&value, sizeof(value));
  return value;
}

template <typename T>
std::vector<T> ByteReader::GetVector() {
  const uint64_t count = GetU64();
  if (!ok_ || count > rest_.size() / sizeof(T)) {
    ok_ = false;
    return {};
  }
  std::vector<T> values(count);
  GetRaw(values.data(), count * sizeof(T));
  return values;
}

std::string ByteReader::GetString() {
  const uint64_t size = GetU64();
  if (!ok_ || size > rest_.size()) {
    ok_ = false;
    return {};
  }
  std::string value(rest_.substr(0, size));
  rest_.remove_prefix(size);
  return value;
}

std::vector<float> ByteReader::GetFloats() { return GetVector<float>(); }
std::vector<uint64_t> ByteReader::GetU64s() { return GetVector<uint64_t>(); }

}  // namespace demorl
