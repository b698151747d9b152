#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/robot/transport/can_port.h"

namespace demorl {

// A CAN-FD bus through Linux SocketCAN. Of one thread.
class CanSocket final : public CanPort {
 public:
  // `interface` as `ip link` names it, for example "can0". UNAVAILABLE if the kernel has no CAN, NOT_FOUND if
  // it has no such interface, FAILED_PRECONDITION if the interface is down or knows no CAN-FD.
  static absl::StatusOr<std::unique_ptr<CanSocket>> Open(const std::string& interface);

  // Over an open socket that carries canfd_frame structures, such as one end of a socketpair; takes it over.
  static std::unique_ptr<CanSocket> FromDescriptor(int descriptor);
  ~CanSocket() override;

  IoResult Send(const CanFrame& frame) override;
  IoResult Receive(CanFrame& frame, absl::Duration deadline) override;
  CanPortCounters counters() const override { return counters_; }

 private:
  explicit CanSocket(int descriptor) : descriptor_(descriptor) {}

  const int descriptor_;
  CanPortCounters counters_;
};

}  // namespace demorl
