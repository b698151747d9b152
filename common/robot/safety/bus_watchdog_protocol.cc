#include "common/robot/safety/bus_watchdog_protocol.h"

#include <sys/socket.h>
#include <sys/uio.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <span>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/robot/transport/descriptor_io.h"

namespace demorl {
namespace {

constexpr uint32_t kMagic = 0x44575331;  // "DWS1"
constexpr size_t kMaxPorts = 16;
constexpr size_t kMaxPortBytes = 4096;
constexpr size_t kMaxOrderBytes = 128 * 1024;

struct Header {
  uint32_t magic = kMagic;
  uint32_t num_ports = 0;
  int64_t timeout_ns = 0;
  int64_t realtime_priority = 0;
};
struct PortHeader {
  uint32_t name_bytes = 0;
  uint32_t freeing_bytes = 0;
};

template <typename Pod>
void Append(const Pod& pod, std::string& bytes) {
  bytes.append(reinterpret_cast<const char*>(&pod), sizeof(pod));
}

// Takes `size` bytes off the front; false if there are fewer.
bool Take(size_t size, absl::string_view& bytes, absl::string_view& taken) {
  if (bytes.size() < size) {
    return false;
  }
  taken = bytes.substr(0, size);
  bytes.remove_prefix(size);
  return true;
}

template <typename Pod>
bool Take(absl::string_view& bytes, Pod& pod) {
  absl::string_view taken;
  if (!Take(sizeof(pod), bytes, taken)) {
    return false;
  }
  std::memcpy(&pod, taken.data(), sizeof(pod));
  return true;
}

bool Parse(absl::string_view bytes, std::span<const int> descriptors, WatchdogOrder& order) {
  Header header;
  if (!Take(bytes, header) || header.magic != kMagic || header.num_ports != descriptors.size()) {
    return false;
  }
  order.timeout = absl::Nanoseconds(header.timeout_ns);
  order.realtime_priority = static_cast<int>(header.realtime_priority);
  for (const int descriptor : descriptors) {
    PortHeader port;
    absl::string_view name, freeing;
    if (!Take(bytes, port) || !Take(port.name_bytes, bytes, name) ||
        !Take(port.freeing_bytes, bytes, freeing)) {
      return false;
    }
    order.ports.push_back({.name = std::string(name),
                           .descriptor = descriptor,
                           .freeing_bytes = {freeing.begin(), freeing.end()}});
  }
  return bytes.empty();
}

absl::Status CheckPort(const WatchedPort& port) {
  if (port.descriptor < 0) {
    return absl::InvalidArgumentError(absl::StrCat("bus ", port.name, " is not open"));
  }
  if (port.freeing_bytes.empty() || port.freeing_bytes.size() > kMaxPortBytes ||
      port.name.size() > kMaxPortBytes) {
    return absl::InvalidArgumentError(absl::StrCat(
        "bus ", port.name, " is freed by ", port.freeing_bytes.size(), " bytes; want 1 to ", kMaxPortBytes));
  }
  return absl::OkStatus();
}

struct alignas(cmsghdr) ControlBuffer {
  char bytes[CMSG_SPACE(kMaxPorts * sizeof(int))] = {};
};

}  // namespace

absl::Status CheckWatchdogOrder(const WatchdogOrder& order) {
  if (order.timeout < absl::Milliseconds(5) || order.timeout > absl::Seconds(60)) {
    return absl::InvalidArgumentError(absl::StrCat("the bus watchdog's timeout is ",
                                                   absl::FormatDuration(order.timeout), "; want 5ms to 1m"));
  }
  if (order.realtime_priority < 0 || order.realtime_priority > 99) {
    return absl::InvalidArgumentError(absl::StrCat("the bus watchdog's real-time priority is ",
                                                   order.realtime_priority, "; want 0 (none) to 99"));
  }
  if (order.ports.empty() || order.ports.size() > kMaxPorts) {
    return absl::InvalidArgumentError(
        absl::StrCat("a bus watchdog for ", order.ports.size(), " buses; want 1 to ", kMaxPorts));
  }
  for (const WatchedPort& port : order.ports) {
    RETURN_IF_ERROR(CheckPort(port));
  }
  return absl::OkStatus();
}

absl::Status SendWatchdogOrder(int socket, const WatchdogOrder& order) {
  RETURN_IF_ERROR(CheckWatchdogOrder(order));
  std::string bytes;
  Append(Header{.num_ports = static_cast<uint32_t>(order.ports.size()),
                .timeout_ns = absl::ToInt64Nanoseconds(order.timeout),
                .realtime_priority = order.realtime_priority},
         bytes);
  std::vector<int> descriptors;
  for (const WatchedPort& port : order.ports) {
    Append(
        PortHeader{static_cast<uint32_t>(port.name.size()), static_cast<uint32_t>(port.freeing_bytes.size())},
        bytes);
    bytes += port.name;
    bytes.append(port.freeing_bytes.begin(), port.freeing_bytes.end());
    descriptors.push_back(port.descriptor);
  }
  ControlBuffer control;
  iovec piece{.iov_base = bytes.data(), .iov_len = bytes.size()};
  msghdr message{.msg_iov = &piece, .msg_iovlen = 1, .msg_control = control.bytes};
  message.msg_controllen = CMSG_SPACE(descriptors.size() * sizeof(int));
  cmsghdr* const rights = CMSG_FIRSTHDR(&message);
  rights->cmsg_level = SOL_SOCKET;
  rights->cmsg_type = SCM_RIGHTS;
  rights->cmsg_len = CMSG_LEN(descriptors.size() * sizeof(int));
  std::memcpy(CMSG_DATA(rights), descriptors.data(), descriptors.size() * sizeof(int));
  if (sendmsg(socket, &message, MSG_NOSIGNAL) != static_cast<ssize_t>(bytes.size())) {
    return absl::UnavailableError(absl::StrCat("the bus watchdog took no order: ", strerror(errno)));
  }
  return absl::OkStatus();
}

absl::StatusOr<WatchdogOrder> ReceiveWatchdogOrder(int socket, absl::Duration deadline) {
  if (!WaitReadable(socket, deadline).ok()) {
    return absl::UnavailableError("no order came");
  }
  std::vector<char> bytes(kMaxOrderBytes);
  ControlBuffer control;
  iovec piece{.iov_base = bytes.data(), .iov_len = bytes.size()};
  msghdr message{.msg_iov = &piece,
                 .msg_iovlen = 1,
                 .msg_control = control.bytes,
                 .msg_controllen = sizeof(control.bytes)};
  const ssize_t num_bytes = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
  if (num_bytes <= 0) {
    return absl::UnavailableError("no order came: the gateway is gone");
  }
  std::array<int, kMaxPorts> descriptors;
  size_t num_descriptors = 0;
  const cmsghdr* const rights = CMSG_FIRSTHDR(&message);
  if (rights != nullptr && rights->cmsg_level == SOL_SOCKET && rights->cmsg_type == SCM_RIGHTS) {
    num_descriptors = (rights->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    std::memcpy(descriptors.data(), CMSG_DATA(rights), num_descriptors * sizeof(int));
  }
  WatchdogOrder order;
  if (!Parse({bytes.data(), static_cast<size_t>(num_bytes)}, std::span(descriptors).first(num_descriptors),
             order)) {
    return absl::InvalidArgumentError(absl::StrCat("a message of ", num_bytes, " bytes is no order"));
  }
  RETURN_IF_ERROR(CheckWatchdogOrder(order));
  return order;
}

}  // namespace demorl
