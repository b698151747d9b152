#pragma once

#include <algorithm>
#include <deque>
#include <memory>
#include <utility>
#include <vector>

#include "common/base/clock.h"
#include "common/base/random.h"
#include "common/robot/emulation/device_emulator.h"
#include "common/robot/transport/byte_stream.h"

namespace demorl::testing {

// Joints of 0.02 kg m^2 without friction, each on its own.
class FreeJoints final : public RobotPlant {
 public:
  explicit FreeJoints(int num_joints) : position_rad_(num_joints), velocity_rad_s_(num_joints) {}

  int num_joints() const override { return static_cast<int>(position_rad_.size()); }
  void Advance(absl::Duration duration, std::span<const double> torques_nm) override {
    const double step_s = absl::ToDoubleSeconds(duration);
    for (size_t i = 0; i < position_rad_.size(); ++i) {
      velocity_rad_s_[i] += step_s * torques_nm[i] / 0.02;
      position_rad_[i] += step_s * velocity_rad_s_[i];
    }
  }
  double position_rad(int joint) const override { return position_rad_[joint]; }
  double velocity_rad_s(int joint) const override { return velocity_rad_s_[joint]; }

  void Place(int joint, double position_rad, double velocity_rad_s) {
    position_rad_[joint] = position_rad;
    velocity_rad_s_[joint] = velocity_rad_s;
  }

 private:
  std::vector<double> position_rad_, velocity_rad_s_;
};

// Emulated devices, their plant and the time that they live in. Time passes while a host waits on one of the
// streams, and where a test says so.
class EmulatedWorld final : public Clock {
 public:
  class Stream;

  explicit EmulatedWorld(int num_joints) : plant(num_joints), torques_nm(num_joints), robot_(&plant) {}
  // With this robot in place of free joints.
  explicit EmulatedWorld(RobotPlant* robot) : plant(0), torques_nm(robot->num_joints()), robot_(robot) {}

  absl::Duration Now() const override { return now_; }
  // The host's end of a device's wire. The world keeps the wire's state, so that the stream may go first.
  std::unique_ptr<ByteStream> Connect(DeviceEmulator* device);

  void Advance(absl::Duration duration) {
    const absl::Duration until = now_ + duration;
    while (now_ < until) {
      AdvanceOnce(until);
    }
  }

  struct Wire {
    DeviceEmulator* device = nullptr;
    EmulatorFaults faults;
    // Of one write of the host's, to try short ones.
    size_t max_write_bytes = 1 << 20;
    // The host hears itself.
    bool echoes = false;
    std::vector<uint8_t> inbox;
    // What the host has said, whether or not somebody heard it.
    std::vector<uint8_t> sent;
    std::deque<std::pair<absl::Duration, std::vector<uint8_t>>> delayed;
    absl::Duration next_babble;
  };
  Wire& wire(size_t index) { return *wires_[index]; }
  size_t num_wires() const { return wires_.size(); }

  FreeJoints plant;
  std::vector<double> torques_nm;

 private:
  static constexpr absl::Duration kStep = absl::Microseconds(500);

  void AdvanceOnce(absl::Duration until) {
    absl::Duration next = std::min(until, next_step_);
    for (const auto& wire : wires_) {
      next = std::min(next, std::max(wire->device->next_output(), now_));
      next = wire->delayed.empty() ? next : std::min(next, std::max(wire->delayed.front().first, now_));
    }
    now_ = next;
    std::vector<uint8_t> output;
    if (now_ >= next_step_) {
      next_step_ += kStep;
      for (auto& wire : wires_) {
        output.clear();
        wire->device->Step(now_, *robot_, torques_nm, output);
        Post(*wire, output);
      }
      robot_->Advance(kStep, torques_nm);
    }
    for (auto& wire : wires_) {
      output.clear();
      wire->device->Receive({}, now_, output);
      Post(*wire, output);
      Babble(*wire);
      Deliver(*wire);
    }
  }

  void Post(Wire& wire, std::vector<uint8_t> bytes) {
    if (bytes.empty() || wire.faults.stuck) {
      return;
    }
    if (random_.Uniform() < wire.faults.corrupted_share) {
      bytes[random_.Index(bytes.size())] ^= 0x04;
    }
    const absl::Duration due = now_ + wire.faults.reply_delay;
    const auto later = std::find_if(wire.delayed.begin(), wire.delayed.end(),
                                    [due](const auto& message) { return message.first > due; });
    wire.delayed.insert(later, wire.faults.duplicate_replies ? 2 : 1, {due, std::move(bytes)});
  }

  void Babble(Wire& wire) {
    if (wire.faults.babble_bytes > 0 && now_ >= wire.next_babble) {
      wire.next_babble = now_ + absl::Milliseconds(1);
      for (int i = 0; i < wire.faults.babble_bytes; ++i) {
        wire.inbox.push_back(static_cast<uint8_t>(random_.NextUint64()));
      }
    }
  }

  void Deliver(Wire& wire) {
    while (!wire.delayed.empty() && wire.delayed.front().first <= now_) {
      const std::vector<uint8_t>& bytes = wire.delayed.front().second;
      wire.inbox.insert(wire.inbox.end(), bytes.begin(), bytes.end());
      wire.delayed.pop_front();
    }
  }

  RobotPlant* const robot_;
  absl::Duration now_ = absl::Seconds(100);
  absl::Duration next_step_ = now_;
  Random random_{3};
  std::vector<std::shared_ptr<Wire>> wires_;
};

class EmulatedWorld::Stream final : public ByteStream {
 public:
  Stream(EmulatedWorld* world, std::shared_ptr<Wire> wire) : world_(world), wire_(std::move(wire)) {}

  IoResult Write(std::span<const uint8_t> bytes) override {
    if (wire_->faults.unplugged) {
      return {.code = IoResult::Code::kClosed};
    }
    bytes = bytes.first(std::min(bytes.size(), wire_->max_write_bytes));
    if (bytes.empty()) {
      return {.code = IoResult::Code::kTimedOut};
    }
    wire_->sent.insert(wire_->sent.end(), bytes.begin(), bytes.end());
    if (wire_->echoes) {
      wire_->inbox.insert(wire_->inbox.end(), bytes.begin(), bytes.end());
    }
    if (!wire_->faults.stuck) {
      std::vector<uint8_t> replies;
      wire_->device->Receive(bytes, world_->now_, replies);
      world_->Post(*wire_, replies);
    }
    return {.num_bytes = bytes.size()};
  }

  IoResult Read(std::span<uint8_t> bytes, absl::Duration deadline) override {
    if (wire_->faults.unplugged) {
      return {.code = IoResult::Code::kClosed};
    }
    world_->Deliver(*wire_);
    while (wire_->inbox.empty() && world_->now_ < deadline) {
      world_->AdvanceOnce(deadline);
    }
    const size_t num_bytes = std::min(bytes.size(), wire_->inbox.size());
    std::copy_n(wire_->inbox.begin(), num_bytes, bytes.begin());
    wire_->inbox.erase(wire_->inbox.begin(), wire_->inbox.begin() + num_bytes);
    return {.code = num_bytes > 0 ? IoResult::Code::kOk : IoResult::Code::kTimedOut, .num_bytes = num_bytes};
  }

  void DiscardInput() override { wire_->inbox.clear(); }

 private:
  EmulatedWorld* const world_;
  const std::shared_ptr<Wire> wire_;
};

inline std::unique_ptr<ByteStream> EmulatedWorld::Connect(DeviceEmulator* device) {
  wires_.push_back(std::make_shared<Wire>(Wire{.device = device}));
  return std::make_unique<Stream>(this, wires_.back());
}

}  // namespace demorl::testing
