#include "common/robot/transport/byte_window.h"

#include <algorithm>
#include <cstring>

namespace demorl {

void ByteWindow::Push(std::span<const uint8_t> bytes) {
  const size_t num_taken = std::min(bytes.size(), memory_.size());
  skipped_bytes_ += bytes.size() - num_taken;
  if (const size_t needed = unread().size() + num_taken; needed > memory_.size()) {
    Skip(needed - memory_.size());
  }
  const std::span<const uint8_t> taken = bytes.last(num_taken);
  std::copy(taken.begin(), taken.end(), FreeSpace().begin());
  Commit(num_taken);
}

std::span<uint8_t> ByteWindow::FreeSpace() {
  std::memmove(memory_.data(), memory_.data() + begin_, end_ - begin_);
  end_ -= begin_;
  begin_ = 0;
  return std::span<uint8_t>(memory_).subspan(end_);
}

void ByteWindow::Skip(size_t num_bytes) {
  begin_ += num_bytes;
  skipped_bytes_ += num_bytes;
}

}  // namespace demorl
