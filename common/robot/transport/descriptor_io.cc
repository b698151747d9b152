#include "common/robot/transport/descriptor_io.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "common/base/clock.h"

namespace demorl {
namespace {

// A terminal says EIO once its other end is closed, a socket or pipe EPIPE or ECONNRESET, a pulled adapter
// ENXIO or ENODEV.
bool OtherEndIsGone(int error_number) {
  return error_number == EIO || error_number == EPIPE || error_number == ECONNRESET ||
         error_number == ENXIO || error_number == ENODEV || error_number == EBADF;
}

IoResult FromErrno(int error_number) {
  if (error_number == EAGAIN || error_number == EWOULDBLOCK || error_number == EINTR) {
    return {.code = IoResult::Code::kTimedOut};
  }
  return {.code = OtherEndIsGone(error_number) ? IoResult::Code::kClosed : IoResult::Code::kFailed,
          .error_number = error_number};
}

}  // namespace

IoResult WriteDescriptor(int descriptor, std::span<const uint8_t> bytes) {
  if (bytes.empty()) {
    return {};
  }
  const ssize_t written = write(descriptor, bytes.data(), bytes.size());
  return written < 0 ? FromErrno(errno) : IoResult{.num_bytes = static_cast<size_t>(written)};
}

IoResult WaitReadable(int descriptor, absl::Duration deadline) {
  pollfd poller{.fd = descriptor, .events = POLLIN};
  for (;;) {
    const absl::Duration left = std::max(deadline - RealClock::Get().Now(), absl::ZeroDuration());
    const timespec timeout = absl::ToTimespec(left);
    const int ready = ppoll(&poller, 1, left == absl::InfiniteDuration() ? nullptr : &timeout, nullptr);
    if (ready > 0) {
      // Of a closed end the bytes that it left are read first.
      return (poller.revents & POLLIN) != 0 ? IoResult{} : IoResult{.code = IoResult::Code::kClosed};
    }
    if (ready == 0) {
      return {.code = IoResult::Code::kTimedOut};
    }
    if (errno != EINTR) {
      return FromErrno(errno);
    }
  }
}

IoResult ReadDescriptor(int descriptor, std::span<uint8_t> bytes, absl::Duration deadline) {
  for (;;) {
    const ssize_t num_bytes = read(descriptor, bytes.data(), bytes.size());
    if (num_bytes > 0) {
      return {.num_bytes = static_cast<size_t>(num_bytes)};
    }
    if (num_bytes == 0) {
      return {.code = IoResult::Code::kClosed};
    }
    if (errno != EINTR && errno != EAGAIN && errno != EWOULDBLOCK) {
      return FromErrno(errno);
    }
    if (const IoResult ready = WaitReadable(descriptor, deadline); !ready.ok()) {
      return ready;
    }
  }
}

}  // namespace demorl
