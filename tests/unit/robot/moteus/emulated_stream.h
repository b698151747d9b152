#pragma once

#include <algorithm>
#include <limits>
#include <string>
#include <vector>

#include "common/base/random.h"
#include "common/robot/emulation/device_emulator.h"
#include "common/robot/transport/byte_stream.h"

namespace demorl {

// A stream straight into an emulator, in the test's own time: a read of nothing does not wait. Allocates
// nothing while fewer than 64 KiB are under way.
class EmulatedStream final : public ByteStream {
 public:
  explicit EmulatedStream(DeviceEmulator* device) : device_(device) {
    replies_.reserve(1 << 16);
    arrived_.reserve(1 << 16);
    written_.reserve(1 << 16);
    under_way_.reserve(1 << 16);
  }

  IoResult Write(std::span<const uint8_t> bytes) override {
    if (faults.unplugged) {
      return {.code = IoResult::Code::kClosed, .error_number = 5};
    }
    const std::span<const uint8_t> taken = bytes.first(std::min({bytes.size(), max_write, write_budget}));
    write_budget -= taken.size();
    if (taken.empty()) {
      return {.code = IoResult::Code::kTimedOut};
    }
    written_.append(reinterpret_cast<const char*>(taken.data()), taken.size());
    replies_.clear();
    if (!faults.stuck) {
      device_->Receive(taken, now, replies_);
    }
    for (int i = 0; i < (faults.duplicate_replies ? 2 : 1); ++i) {
      Post(replies_);
    }
    return {.num_bytes = taken.size()};
  }

  IoResult Read(std::span<uint8_t> bytes, absl::Duration /*deadline*/) override {
    if (faults.unplugged) {
      return {.code = IoResult::Code::kClosed, .error_number = 5};
    }
    Deliver();
    for (int i = 0; i < faults.babble_bytes; ++i) {
      arrived_.push_back(static_cast<uint8_t>(random_.NextUint64()));
    }
    const size_t size = std::min({bytes.size(), arrived_.size(), max_read});
    std::copy_n(arrived_.begin(), size, bytes.begin());
    arrived_.erase(arrived_.begin(), arrived_.begin() + static_cast<ptrdiff_t>(size));
    return size > 0 ? IoResult{.num_bytes = size} : IoResult{.code = IoResult::Code::kTimedOut};
  }

  void DiscardInput() override { arrived_.clear(); }

  // What the host receives next, whoever sent it.
  void Inject(const std::string& text) { arrived_.insert(arrived_.end(), text.begin(), text.end()); }

  // What the host has sent since the last call.
  std::string TakeWritten() {
    std::string written = written_;
    written_.clear();
    return written;
  }

  absl::Duration now;
  EmulatorFaults faults;
  size_t max_read = std::numeric_limits<size_t>::max();
  size_t max_write = std::numeric_limits<size_t>::max();
  // What the send buffer still takes.
  size_t write_budget = std::numeric_limits<size_t>::max();

 private:
  struct Byte {
    absl::Duration due;
    uint8_t value;
  };

  // At most one bit of what one write was answered with is flipped, which a CRC-8 always finds.
  void Post(std::vector<uint8_t>& bytes) {
    if (!bytes.empty() && random_.Uniform() < faults.corrupted_share) {
      bytes[random_.Index(bytes.size())] ^= static_cast<uint8_t>(1 << random_.Index(8));
    }
    for (const uint8_t byte : bytes) {
      under_way_.push_back({now + faults.reply_delay, byte});
    }
  }

  void Deliver() {
    const auto due_end = std::find_if(under_way_.begin(), under_way_.end(),
                                      [this](const Byte& byte) { return byte.due > now; });
    for (auto byte = under_way_.begin(); byte != due_end; ++byte) {
      arrived_.push_back(byte->value);
    }
    under_way_.erase(under_way_.begin(), due_end);
  }

  DeviceEmulator* const device_;
  Random random_{5};
  std::vector<uint8_t> replies_;
  std::vector<Byte> under_way_;
  std::vector<uint8_t> arrived_;
  std::string written_;
};

// Bodies that turn freely.
class FreeBodies final : public RobotPlant {
 public:
  explicit FreeBodies(int num_joints, double inertia_kg_m2 = 0.01)
      : inertia_kg_m2_(inertia_kg_m2), position_rad_(num_joints, 0.0), velocity_rad_s_(num_joints, 0.0) {}

  int num_joints() const override { return static_cast<int>(position_rad_.size()); }
  void Advance(absl::Duration duration, std::span<const double> torques_nm) override {
    const double elapsed_s = absl::ToDoubleSeconds(duration);
    for (size_t i = 0; i < position_rad_.size(); ++i) {
      velocity_rad_s_[i] += torques_nm[i] / inertia_kg_m2_ * elapsed_s;
      position_rad_[i] += velocity_rad_s_[i] * elapsed_s;
    }
  }
  double position_rad(int joint) const override { return position_rad_[joint]; }
  double velocity_rad_s(int joint) const override { return velocity_rad_s_[joint]; }

  void Set(int joint, double position_rad, double velocity_rad_s) {
    position_rad_[joint] = position_rad;
    velocity_rad_s_[joint] = velocity_rad_s;
  }

 private:
  const double inertia_kg_m2_;
  std::vector<double> position_rad_;
  std::vector<double> velocity_rad_s_;
};

}  // namespace demorl
