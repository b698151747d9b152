#pragma once

#include "common/robot/transport/byte_stream.h"

namespace demorl {

// ByteStream's calls on a non-blocking descriptor of a terminal, a socket or a pipe. Real-time safe.
IoResult WriteDescriptor(int descriptor, std::span<const uint8_t> bytes);
IoResult ReadDescriptor(int descriptor, std::span<uint8_t> bytes, absl::Duration deadline);

// Waits until the descriptor can be read, its other end is gone, or the deadline has passed; kOk in the first
// case.
IoResult WaitReadable(int descriptor, absl::Duration deadline);

}  // namespace demorl
