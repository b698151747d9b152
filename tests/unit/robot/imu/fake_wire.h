#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <functional>
#include <span>
#include <utility>
#include <vector>

#include "common/base/clock.h"
#include "common/robot/emulation/device_emulator.h"
#include "common/robot/transport/byte_stream.h"

namespace demorl {

class NoMotors final : public RobotPlant {
 public:
  int num_joints() const override { return 0; }
  void Advance(absl::Duration, std::span<const double>) override {}
  double position_rad(int) const override { return 0; }
  double velocity_rad_s(int) const override { return 0; }
};

// A device at the end of a wire, in made-up time: who waits for bytes makes time pass.
class FakeWire final : public Clock {
 public:
  // Borrows the device; null is a wire that leads nowhere.
  explicit FakeWire(DeviceEmulator* device) : device_(device) {}

  absl::Duration Now() const override { return now_; }

  // Lets the device work for `duration`, in steps of half a millisecond.
  void Advance(absl::Duration duration) {
    for (const absl::Duration end = now_ + duration; now_ < end; now_ += absl::Microseconds(500)) {
      std::vector<uint8_t> output;
      if (device_ != nullptr) {
        device_->Step(now_, plant_, {}, output);
      }
      Deliver(std::move(output));
    }
  }

  // Puts bytes on the wire to the host.
  void Inject(std::span<const uint8_t> bytes) { to_host_.insert(to_host_.end(), bytes.begin(), bytes.end()); }

  // May change or empty what the device sends at one time.
  std::function<void(std::vector<uint8_t>&)> tamper = [](std::vector<uint8_t>&) {};
  // May empty what the host sends.
  std::function<void(std::vector<uint8_t>&)> tamper_commands = [](std::vector<uint8_t>&) {};
  size_t max_piece = SIZE_MAX;
  bool closed = false;

  // The host's end.
  class Stream final : public ByteStream {
   public:
    explicit Stream(FakeWire* wire) : wire_(wire) {}
    IoResult Write(std::span<const uint8_t> bytes) override { return wire_->Write(bytes); }
    IoResult Read(std::span<uint8_t> bytes, absl::Duration deadline) override {
      return wire_->Read(bytes, deadline);
    }
    void DiscardInput() override { wire_->to_host_.clear(); }

   private:
    FakeWire* const wire_;
  };

 private:
  void Deliver(std::vector<uint8_t> bytes) {
    if (!bytes.empty()) {
      tamper(bytes);
      Inject(bytes);
    }
  }

  IoResult Write(std::span<const uint8_t> bytes) {
    if (closed) {
      return {.code = IoResult::Code::kClosed};
    }
    std::vector<uint8_t> command(bytes.begin(), bytes.end()), replies;
    tamper_commands(command);
    if (device_ != nullptr) {
      device_->Receive(command, now_, replies);
    }
    Deliver(std::move(replies));
    return {.num_bytes = bytes.size()};
  }

  IoResult Read(std::span<uint8_t> bytes, absl::Duration deadline) {
    while (!closed && to_host_.empty() && now_ < deadline) {
      Advance(absl::Milliseconds(1));
    }
    if (closed) {
      return {.code = IoResult::Code::kClosed};
    }
    if (to_host_.empty()) {
      return {.code = IoResult::Code::kTimedOut};
    }
    const size_t count = std::min({bytes.size(), to_host_.size(), max_piece});
    std::copy_n(to_host_.begin(), count, bytes.begin());
    to_host_.erase(to_host_.begin(), to_host_.begin() + count);
    return {.num_bytes = count};
  }

  DeviceEmulator* const device_;
  NoMotors plant_;
  absl::Duration now_ = absl::Seconds(1);
  std::deque<uint8_t> to_host_;
};

}  // namespace demorl
