#pragma once

#include <termios.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "services/cli/drive/gamepad_events.h"
#include "services/cli/drive/held_keys.h"

namespace demorl {

// What an operator steers a robot with. Of one thread.
class OperatorInput {
 public:
  virtual ~OperatorInput() = default;

  // To be polled for reading.
  virtual int descriptor() const = 0;
  // Takes what has arrived, if anything; never waits. UNAVAILABLE once the device is gone.
  virtual absl::Status Read(absl::Duration now) = 0;
  // Whether the switch is held that makes the rest count.
  virtual bool held(absl::Duration now) const = 0;
  // By axis of the robot, in [-1, 1].
  virtual std::vector<double> axes(absl::Duration now) const = 0;
  virtual bool quits() const = 0;
};

// The keys of a terminal, which shows them no more and hands them over one by one until this ends; Ctrl-C
// stays what it is.
class KeyboardInput final : public OperatorInput {
 public:
  // Borrows the descriptor. FAILED_PRECONDITION if it is no terminal.
  static absl::StatusOr<std::unique_ptr<KeyboardInput>> Open(int terminal, int num_axes);
  ~KeyboardInput() override;

  int descriptor() const override { return terminal_; }
  absl::Status Read(absl::Duration now) override;
  bool held(absl::Duration now) const override { return keys_.held(now); }
  std::vector<double> axes(absl::Duration now) const override { return keys_.axes(now); }
  bool quits() const override { return keys_.quits(); }

 private:
  KeyboardInput(int terminal, const termios& before, int num_axes)
      : terminal_(terminal), before_(before), keys_(num_axes) {}

  const int terminal_;
  const termios before_;
  HeldKeys keys_;
};

// A gamepad through Linux's joystick API.
class GamepadInput final : public OperatorInput {
 public:
  // For example /dev/input/js0. NOT_FOUND, PERMISSION_DENIED or FAILED_PRECONDITION telling what to do.
  static absl::StatusOr<std::unique_ptr<GamepadInput>> Open(const std::string& path,
                                                            const GamepadLayout& layout, int num_axes);
  ~GamepadInput() override;

  int descriptor() const override { return device_; }
  absl::Status Read(absl::Duration now) override;
  bool held(absl::Duration) const override { return events_.held(); }
  std::vector<double> axes(absl::Duration) const override { return events_.axes(num_axes_); }
  bool quits() const override { return false; }

 private:
  GamepadInput(int device, const GamepadLayout& layout, int num_axes)
      : device_(device), num_axes_(num_axes), events_(layout) {}

  const int device_;
  const int num_axes_;
  GamepadEvents events_;
};

}  // namespace demorl
