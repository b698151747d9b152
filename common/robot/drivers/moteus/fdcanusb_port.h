#pragma once

#include <array>
#include <memory>

#include "common/robot/drivers/moteus/fdcanusb_text.h"
#include "common/robot/transport/byte_stream.h"
#include "common/robot/transport/can_port.h"

namespace demorl {

struct FdcanusbOptions {
  // Every line ends in a CRC-8 and lines without one are refused, as on the UART of a moteus controller.
  bool checksums = false;
};

// A CAN-FD bus behind an fdcanusb adapter, or one controller's UART. Of one thread.
class FdcanusbPort final : public CanPort {
 public:
  FdcanusbPort(const FdcanusbOptions& options, std::unique_ptr<ByteStream> stream)
      : options_(options), stream_(std::move(stream)) {}

  // The adapter's own "OK" is not waited for; its "ERR" counts as an adapter error.
  IoResult Send(const CanFrame& frame) override;
  IoResult Receive(CanFrame& frame, absl::Duration deadline) override;
  CanPortCounters counters() const override;

 private:
  IoResult Flush();
  // Whether the received bytes up to here hold a frame.
  bool TakeFrame(CanFrame& frame);
  bool HandleLine(CanFrame& frame);

  const FdcanusbOptions options_;
  const std::unique_ptr<ByteStream> stream_;
  FdcanusbLineReader reader_;
  CanPortCounters counters_;

  // The rest of a line that the stream took in part; nothing else may go out before it.
  FdcanusbBuffer outgoing_;
  size_t outgoing_begin_ = 0;
  size_t outgoing_end_ = 0;

  std::array<uint8_t, 1024> incoming_;
  size_t incoming_begin_ = 0;
  size_t incoming_end_ = 0;
};

}  // namespace demorl
