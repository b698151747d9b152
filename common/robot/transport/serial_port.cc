#include "common/robot/transport/serial_port.h"

#include <asm/termbits.h>  // termios2: any baud rate; clashes with <termios.h>
#include <fcntl.h>
#include <linux/serial.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/status_macros.h"
#include "common/robot/transport/descriptor_io.h"

namespace demorl {
namespace {

std::vector<std::string> PresentPorts() {
  std::vector<std::string> ports;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator("/dev", ignored)) {
    const std::string name = entry.path().string();
    if (absl::StartsWith(name, "/dev/ttyUSB") || absl::StartsWith(name, "/dev/ttyACM") ||
        absl::StartsWith(name, "/dev/ttyAMA")) {
      ports.push_back(name);
    }
  }
  std::sort(ports.begin(), ports.end());
  return ports;
}

absl::Status OpenError(const std::string& path, int error_number) {
  const std::string found = absl::StrCat("serial port ", path, ": ", strerror(error_number));
  if (error_number == ENOENT || error_number == ENXIO || error_number == ENODEV) {
    const std::vector<std::string> ports = PresentPorts();
    return absl::NotFoundError(
        absl::StrCat(found, ports.empty() ? "; no serial adapter is plugged in"
                                          : absl::StrCat("; plugged in are ", absl::StrJoin(ports, ", "))));
  }
  if (error_number == EACCES || error_number == EPERM) {
    return absl::PermissionDeniedError(
        absl::StrCat(found, "; join the group that owns it (dialout on Debian) and log in again"));
  }
  if (error_number == EBUSY) {
    return absl::FailedPreconditionError(absl::StrCat(found, "; another process holds it"));
  }
  return absl::FailedPreconditionError(found);
}

// An advisory lock: it ends with the process, also by kill -9, which TIOCEXCL need not.
absl::Status HoldAlone(int descriptor, const std::string& path) {
  return flock(descriptor, LOCK_EX | LOCK_NB) == 0 ? absl::OkStatus()
                                                   : OpenError(path, errno == EWOULDBLOCK ? EBUSY : errno);
}

absl::Status SetRaw(int descriptor, const SerialPortOptions& options) {
  termios2 settings{};
  if (ioctl(descriptor, TCGETS2, &settings) != 0) {
    return absl::FailedPreconditionError(absl::StrCat(options.path, " is no serial port: ", strerror(errno)));
  }
  settings.c_iflag = IGNPAR;
  settings.c_oflag = 0;
  settings.c_lflag = 0;
  settings.c_cflag = CS8 | CREAD | CLOCAL | BOTHER;
  settings.c_ispeed = settings.c_ospeed = options.baud_rate;
  settings.c_cc[VMIN] = 1;  // with 0 a read of nothing looks like the end of the stream
  settings.c_cc[VTIME] = 0;
  if (ioctl(descriptor, TCSETS2, &settings) != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat(options.path, " does not take ", options.baud_rate, " bit/s: ", strerror(errno)));
  }
  return absl::OkStatus();
}

// Asks the driver to hand bytes over at once; adapters with a latency timer of their own (FTDI) follow it.
// Not all drivers know it.
void AskForLowLatency(int descriptor) {
  serial_struct serial{};
  if (ioctl(descriptor, TIOCGSERIAL, &serial) == 0) {
    serial.flags |= ASYNC_LOW_LATENCY;
    ioctl(descriptor, TIOCSSERIAL, &serial);
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<SerialPort>> SerialPort::Open(const SerialPortOptions& options) {
  if (options.baud_rate < 1) {
    return absl::InvalidArgumentError(absl::StrCat("baud_rate = ", options.baud_rate, "; want > 0"));
  }
  const int descriptor = open(options.path.c_str(), O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
  if (descriptor < 0) {
    return OpenError(options.path, errno);
  }
  std::unique_ptr<SerialPort> port(new SerialPort(descriptor));
  RETURN_IF_ERROR(HoldAlone(descriptor, options.path));
  RETURN_IF_ERROR(SetRaw(descriptor, options));
  AskForLowLatency(descriptor);
  port->DiscardInput();
  return port;
}

SerialPort::~SerialPort() { close(descriptor_); }

IoResult SerialPort::Write(std::span<const uint8_t> bytes) { return WriteDescriptor(descriptor_, bytes); }

IoResult SerialPort::Read(std::span<uint8_t> bytes, absl::Duration deadline) {
  return ReadDescriptor(descriptor_, bytes, deadline);
}

void SerialPort::DiscardInput() { ioctl(descriptor_, TCFLSH, TCIFLUSH); }

}  // namespace demorl
