#pragma once

#include <sys/socket.h>

#include <memory>
#include <span>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/robot/transport/byte_stream.h"

namespace demorl {

struct UdpAddress {
  sockaddr_storage storage = {};
  socklen_t size = 0;
};

// Whole datagrams to and from one peer, or on one port. Of one thread. Sending and receiving are real-time
// safe; they never answer kClosed: a peer that is gone may come back. kFailed with ECONNREFUSED: a datagram
// of before found nobody at the peer's port.
class UdpSocket {
 public:
  // Talks to one peer only, from a port of its own. `host` is a name or an address. NOT_FOUND for a host
  // without an address, UNAVAILABLE if there is no way to it.
  static absl::StatusOr<std::unique_ptr<UdpSocket>> Connect(const std::string& host, int port);

  // Hears everybody at this port of `address`; 0 takes a free one. UNAVAILABLE if it is taken.
  static absl::StatusOr<std::unique_ptr<UdpSocket>> Bind(const std::string& address, int port);
  ~UdpSocket();

  // To the connected peer; kTimedOut if the way is full.
  IoResult Send(std::span<const uint8_t> bytes);
  IoResult SendTo(std::span<const uint8_t> bytes, const UdpAddress& to);

  // Waits for one datagram until `deadline`, on RealClock's time line; one in the past only looks.
  // `num_bytes` is the size of the datagram, also where `bytes` holds less of it. `from` may be null.
  IoResult Receive(std::span<uint8_t> bytes, absl::Duration deadline, UdpAddress* from = nullptr);

  // Where a bound socket listens.
  int port() const { return port_; }
  // For poll.
  int descriptor() const { return descriptor_; }

 private:
  UdpSocket(int descriptor, int port) : descriptor_(descriptor), port_(port) {}

  const int descriptor_;
  const int port_;
};

}  // namespace demorl
