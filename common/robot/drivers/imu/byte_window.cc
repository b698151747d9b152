#include "common/robot/drivers/imu/byte_window.h"

#include <cstring>

namespace demorl {

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
