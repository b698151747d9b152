#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/robot/transport/byte_stream.h"

namespace demorl {

struct SerialPortOptions {
  // For example "/dev/ttyUSB0", better a name that udev keeps stable, or a pseudo-terminal.
  std::string path;
  int baud_rate = 115200;
};

// A serial port, 8N1, raw, held by one SerialPort of all processes.
class SerialPort final : public ByteStream {
 public:
  // NOT_FOUND for a path that is not there, naming the ports that are; PERMISSION_DENIED with the group to
  // join; FAILED_PRECONDITION for a path that is no terminal or is held by another process; INVALID_ARGUMENT
  // for a baud rate that the port does not take.
  static absl::StatusOr<std::unique_ptr<SerialPort>> Open(const SerialPortOptions& options);
  ~SerialPort() override;

  IoResult Write(std::span<const uint8_t> bytes) override;
  IoResult Read(std::span<uint8_t> bytes, absl::Duration deadline) override;
  void DiscardInput() override;

  // For a process that must reach the same wire after this one has died. Borrowed.
  int descriptor() const { return descriptor_; }

 private:
  explicit SerialPort(int descriptor) : descriptor_(descriptor) {}

  const int descriptor_;
};

}  // namespace demorl
