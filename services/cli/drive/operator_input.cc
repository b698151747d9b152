#include "services/cli/drive/operator_input.h"

#include <fcntl.h>
#include <linux/joystick.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"

namespace demorl {
namespace {

// What has arrived, given to `take`; UNAVAILABLE if nothing will any more.
template <typename Take>
absl::Status ReadAll(int descriptor, const char* what, Take take) {
  std::array<char, 256> bytes;
  pollfd poller{.fd = descriptor, .events = POLLIN};
  while (poll(&poller, 1, 0) > 0) {
    const ssize_t size = read(descriptor, bytes.data(), bytes.size());
    if (size > 0) {
      take(bytes.data(), static_cast<size_t>(size));
    } else if (size == 0 || (errno != EINTR && errno != EAGAIN)) {
      return absl::UnavailableError(
          absl::StrCat("the ", what, " is gone: ", size == 0 ? "it has ended" : strerror(errno)));
    }
  }
  return absl::OkStatus();
}

absl::Status OpenError(const std::string& path, int error_number) {
  const std::string found = absl::StrCat("gamepad ", path, ": ", strerror(error_number));
  switch (error_number) {
    case ENOENT:
    case ENODEV:
    case ENXIO:
      return absl::NotFoundError(absl::StrCat(found, "; is it plugged in, and the module joydev loaded?"));
    case EACCES:
      return absl::PermissionDeniedError(
          absl::StrCat(found, "; join the group that owns it (input on Debian)"));
    default:
      return absl::FailedPreconditionError(found);
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<KeyboardInput>> KeyboardInput::Open(int terminal, int num_axes) {
  termios before{};
  if (tcgetattr(terminal, &before) != 0) {
    return absl::FailedPreconditionError(
        "the standard input is no terminal whose keys could be read; use a terminal, or a gamepad");
  }
  termios by_key = before;
  by_key.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
  by_key.c_cc[VMIN] = 1;
  by_key.c_cc[VTIME] = 0;
  tcsetattr(terminal, TCSAFLUSH, &by_key);
  return absl::WrapUnique(new KeyboardInput(terminal, before, num_axes));
}

KeyboardInput::~KeyboardInput() { tcsetattr(terminal_, TCSAFLUSH, &before_); }

absl::Status KeyboardInput::Read(absl::Duration now) {
  return ReadAll(terminal_, "terminal", [&](const char* bytes, size_t size) {
    keys_.Feed({bytes, size}, now);
  });
}

absl::StatusOr<std::unique_ptr<GamepadInput>> GamepadInput::Open(const std::string& path,
                                                                 const GamepadLayout& layout, int num_axes) {
  const int device = open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  if (device < 0) {
    return OpenError(path, errno);
  }
  auto input = absl::WrapUnique(new GamepadInput(device, layout, num_axes));
  uint32_t version = 0;
  if (ioctl(device, JSIOCGVERSION, &version) != 0) {
    return absl::FailedPreconditionError(
        absl::StrCat(path, " is no gamepad of the joystick API; want one like /dev/input/js0"));
  }
  return input;
}

GamepadInput::~GamepadInput() { close(device_); }

absl::Status GamepadInput::Read(absl::Duration) {
  return ReadAll(device_, "gamepad", [&](const char* bytes, size_t size) {
    events_.Feed({reinterpret_cast<const uint8_t*>(bytes), size});
  });
}

}  // namespace demorl
