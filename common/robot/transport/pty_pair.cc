#include "common/robot/transport/pty_pair.h"

#include <fcntl.h>
#include <pty.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "common/robot/transport/descriptor_io.h"

namespace demorl {

absl::StatusOr<std::unique_ptr<PtyPair>> PtyPair::Open() {
  int device = -1, host = -1;
  termios raw{};
  cfmakeraw(&raw);
  raw.c_cflag |= CS8 | CREAD | CLOCAL;
  char name[256] = {};
  if (openpty(&device, &host, name, &raw, nullptr) != 0) {
    return absl::UnavailableError(absl::StrCat("no pseudo-terminal: ", strerror(errno)));
  }
  for (const int descriptor : {device, host}) {
    fcntl(descriptor, F_SETFD, FD_CLOEXEC);
    fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL) | O_NONBLOCK);
  }
  return std::unique_ptr<PtyPair>(new PtyPair(device, host, name));
}

PtyPair::~PtyPair() { Unplug(); }

void PtyPair::Unplug() {
  for (int* descriptor : {&device_, &host_}) {
    if (*descriptor >= 0) {
      close(*descriptor);
      *descriptor = -1;
    }
  }
}

IoResult PtyPair::Write(std::span<const uint8_t> bytes) { return WriteDescriptor(device_, bytes); }

IoResult PtyPair::Read(std::span<uint8_t> bytes, absl::Duration deadline) {
  return ReadDescriptor(device_, bytes, deadline);
}

void PtyPair::DiscardInput() { tcflush(device_, TCIFLUSH); }

}  // namespace demorl
