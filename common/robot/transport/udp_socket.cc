#include "common/robot/transport/udp_socket.h"

#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "common/base/clock.h"
#include "common/base/status_macros.h"
#include "common/robot/transport/descriptor_io.h"

namespace demorl {
namespace {

IoResult FromErrno(int error_number) {
  if (error_number == EAGAIN || error_number == EWOULDBLOCK || error_number == EINTR ||
      error_number == ENOBUFS) {
    return {.code = IoResult::Code::kTimedOut};
  }
  return {.code = IoResult::Code::kFailed, .error_number = error_number};
}

absl::StatusOr<UdpAddress> Resolve(const std::string& host, int port) {
  if (port < 0 || port > 65535) {
    return absl::InvalidArgumentError(absl::StrCat("UDP port ", port, "; want 0 to 65535"));
  }
  const addrinfo hints = {.ai_flags = AI_NUMERICSERV, .ai_socktype = SOCK_DGRAM};
  addrinfo* found = nullptr;
  if (const int error = getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found); error != 0) {
    return absl::NotFoundError(
        absl::StrCat("UDP host '", host, "': ", gai_strerror(error), "; want a name or an address"));
  }
  UdpAddress address{.size = found->ai_addrlen};
  std::memcpy(&address.storage, found->ai_addr, found->ai_addrlen);
  freeaddrinfo(found);
  return address;
}

int PortOf(int descriptor) {
  sockaddr_storage own = {};
  socklen_t size = sizeof(own);
  getsockname(descriptor, reinterpret_cast<sockaddr*>(&own), &size);
  return ntohs(own.ss_family == AF_INET6 ? reinterpret_cast<const sockaddr_in6&>(own).sin6_port
                                         : reinterpret_cast<const sockaddr_in&>(own).sin_port);
}

// `attach` is connect or bind.
absl::StatusOr<int> OpenSocket(const std::string& host, int port,
                               int (*attach)(int, const sockaddr*, socklen_t)) {
  ASSIGN_OR_RETURN(const UdpAddress address, Resolve(host, port));
  const int descriptor = socket(address.storage.ss_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (descriptor < 0 ||
      attach(descriptor, reinterpret_cast<const sockaddr*>(&address.storage), address.size) != 0) {
    const int error_number = errno;
    if (descriptor >= 0) {
      close(descriptor);
    }
    return absl::UnavailableError(
        absl::StrCat("UDP socket for ", host, ":", port, ": ", strerror(error_number)));
  }
  return descriptor;
}

}  // namespace

absl::StatusOr<std::unique_ptr<UdpSocket>> UdpSocket::Connect(const std::string& host, int port) {
  ASSIGN_OR_RETURN(const int descriptor, OpenSocket(host, port, connect));
  return std::unique_ptr<UdpSocket>(new UdpSocket(descriptor, PortOf(descriptor)));
}

absl::StatusOr<std::unique_ptr<UdpSocket>> UdpSocket::Bind(const std::string& address, int port) {
  ASSIGN_OR_RETURN(const int descriptor, OpenSocket(address, port, bind));
  return std::unique_ptr<UdpSocket>(new UdpSocket(descriptor, PortOf(descriptor)));
}

UdpSocket::~UdpSocket() { close(descriptor_); }

IoResult UdpSocket::Send(std::span<const uint8_t> bytes) {
  ssize_t sent = send(descriptor_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
  if (sent < 0 && errno == ECONNREFUSED) {  // about an earlier datagram; this one has not gone out
    sent = send(descriptor_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
  }
  return sent < 0 ? FromErrno(errno) : IoResult{.num_bytes = static_cast<size_t>(sent)};
}

IoResult UdpSocket::SendTo(std::span<const uint8_t> bytes, const UdpAddress& to) {
  const ssize_t sent = sendto(descriptor_, bytes.data(), bytes.size(), MSG_NOSIGNAL,
                              reinterpret_cast<const sockaddr*>(&to.storage), to.size);
  return sent < 0 ? FromErrno(errno) : IoResult{.num_bytes = static_cast<size_t>(sent)};
}

IoResult UdpSocket::Receive(std::span<uint8_t> bytes, absl::Duration deadline, UdpAddress* from) {
  UdpAddress ignored;
  UdpAddress& sender = from != nullptr ? *from : ignored;
  for (;;) {
    sender.size = sizeof(sender.storage);
    const ssize_t received = recvfrom(descriptor_, bytes.data(), bytes.size(), MSG_TRUNC,
                                      reinterpret_cast<sockaddr*>(&sender.storage), &sender.size);
    if (received >= 0) {
      return {.num_bytes = static_cast<size_t>(received)};
    }
    if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) {
      return FromErrno(errno);
    }
    // An error that waits to be fetched ends the wait, too.
    const IoResult ready = WaitReadable(descriptor_, deadline);
    if (ready.code == IoResult::Code::kTimedOut || ready.code == IoResult::Code::kFailed) {
      return ready;
    }
  }
}

}  // namespace demorl
