#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace demorl {

// Bytes that have arrived and are not yet understood. Its memory is taken at construction; everything else is
// real-time safe. What `FreeSpace` and `unread` return is valid until the next call of a method that is not
// const.
class ByteWindow {
 public:
  explicit ByteWindow(size_t capacity) : memory_(capacity) {}

  // Takes in bytes; what stands in front of those that no longer fit is skipped.
  void Push(std::span<const uint8_t> bytes);

  // Where the next bytes go; Commit says how many came. Never empty as long as less than `capacity` is
  // unread.
  std::span<uint8_t> FreeSpace();
  void Commit(size_t num_bytes) { end_ += num_bytes; }

  std::span<const uint8_t> unread() const { return {memory_.data() + begin_, end_ - begin_}; }

  // The next `num_bytes` belonged to a message.
  void Consume(size_t num_bytes) { begin_ += num_bytes; }
  // The next `num_bytes` belonged to none.
  void Skip(size_t num_bytes);

  // Forgets what is unread; counts nothing.
  void Clear() { begin_ = end_ = 0; }

  uint64_t skipped_bytes() const { return skipped_bytes_; }

 private:
  std::vector<uint8_t> memory_;
  size_t begin_ = 0;
  size_t end_ = 0;
  uint64_t skipped_bytes_ = 0;
};

}  // namespace demorl
