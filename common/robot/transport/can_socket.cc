#include "common/robot/transport/can_socket.h"

#include <fcntl.h>
#include <linux/can.h>
#include <linux/can/raw.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "common/base/clock.h"
#include "common/base/status_macros.h"
#include "common/robot/transport/descriptor_io.h"

namespace demorl {
namespace {

constexpr char kBringUp[] =
    "; want it up with CAN-FD: ip link set NAME up type can bitrate 1000000 dbitrate 5000000 fd on";

absl::Status InterfaceError(absl::string_view interface, absl::string_view what) {
  return absl::FailedPreconditionError(absl::StrCat("CAN interface ", interface, ": ", what, kBringUp));
}

absl::Status Bind(int descriptor, const std::string& interface) {
  ifreq request = {};
  if (interface.empty() || interface.size() >= sizeof(request.ifr_name)) {
    return absl::NotFoundError(absl::StrCat("CAN interface '", interface, "'; want a name like can0"));
  }
  std::copy(interface.begin(), interface.end(), request.ifr_name);
  if (ioctl(descriptor, SIOCGIFINDEX, &request) != 0) {
    return absl::NotFoundError(absl::StrCat("CAN interface ", interface, ": ", strerror(errno),
                                            "; `ip link` shows those there are"));
  }
  sockaddr_can address = {};
  address.can_family = AF_CAN;
  address.can_ifindex = request.ifr_ifindex;
  if (ioctl(descriptor, SIOCGIFFLAGS, &request) != 0 || (request.ifr_flags & IFF_UP) == 0) {
    return InterfaceError(interface, "it is down");
  }
  const int on = 1;
  if (ioctl(descriptor, SIOCGIFMTU, &request) != 0 || request.ifr_mtu < static_cast<int>(CANFD_MTU) ||
      setsockopt(descriptor, SOL_CAN_RAW, CAN_RAW_FD_FRAMES, &on, sizeof(on)) != 0) {
    return InterfaceError(interface, "it carries no CAN-FD frames");
  }
  if (bind(descriptor, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    return InterfaceError(interface, strerror(errno));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<CanSocket>> CanSocket::Open(const std::string& interface) {
  const int descriptor = socket(PF_CAN, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, CAN_RAW);
  if (descriptor < 0) {
    return absl::UnavailableError(absl::StrCat("CAN interface ", interface,
                                               ": this kernel has no SocketCAN (", strerror(errno),
                                               "); want modules can and can_raw, or an fdcanusb adapter"));
  }
  std::unique_ptr<CanSocket> result = FromDescriptor(descriptor);
  RETURN_IF_ERROR(Bind(descriptor, interface));
  return result;
}

std::unique_ptr<CanSocket> CanSocket::FromDescriptor(int descriptor) {
  fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL) | O_NONBLOCK);
  return std::unique_ptr<CanSocket>(new CanSocket(descriptor));
}

CanSocket::~CanSocket() { close(descriptor_); }

IoResult CanSocket::Send(const CanFrame& frame) {
  canfd_frame wire = {};
  wire.can_id = frame.id > CAN_SFF_MASK ? (frame.id & CAN_EFF_MASK) | CAN_EFF_FLAG : frame.id;
  wire.len = CanFdPayloadSize(frame.size);
  wire.flags = CANFD_BRS;
  std::copy_n(frame.data.begin(), frame.size, wire.data);
  const ssize_t sent = send(descriptor_, &wire, sizeof(wire), MSG_NOSIGNAL | MSG_DONTWAIT);
  if (sent == static_cast<ssize_t>(sizeof(wire))) {
    return {.num_bytes = sizeof(wire)};
  }
  switch (errno) {
    case EAGAIN:
    case EINTR:
    case ENOBUFS:  // the interface's queue is full: no node acknowledges, or the bus is overloaded
      return {.code = IoResult::Code::kTimedOut};
    case ENETDOWN:
    case ENODEV:
    case ENXIO:
    case EPIPE:
    case ECONNRESET:
      return {.code = IoResult::Code::kClosed, .error_number = errno};
    default:
      return {.code = IoResult::Code::kFailed, .error_number = errno};
  }
}

IoResult CanSocket::Receive(CanFrame& frame, absl::Duration deadline) {
  for (;;) {
    // Room for one byte more than a frame has: longer messages are known as such.
    std::array<uint8_t, sizeof(canfd_frame) + 1> bytes;
    IoResult read = ReadDescriptor(descriptor_, bytes, deadline);
    if (!read.ok()) {
      if (read.error_number == ENETDOWN) {
        read.code = IoResult::Code::kClosed;
      }
      return read;
    }
    // Classic frames have the same layout, shorter.
    canfd_frame wire = {};
    const bool is_frame = read.num_bytes == CANFD_MTU || read.num_bytes == CAN_MTU;
    std::memcpy(&wire, bytes.data(), std::min(read.num_bytes, sizeof(wire)));
    if (is_frame && wire.len + offsetof(canfd_frame, data) <= read.num_bytes &&
        (wire.can_id & (CAN_RTR_FLAG | CAN_ERR_FLAG)) == 0) {
      frame.id = wire.can_id & CAN_EFF_MASK;
      frame.size = wire.len;
      std::copy_n(wire.data, wire.len, frame.data.begin());
      return read;
    }
    ++counters_.bad_messages;
    if (RealClock::Get().Now() >= deadline) {
      return {.code = IoResult::Code::kTimedOut};
    }
  }
}

}  // namespace demorl
