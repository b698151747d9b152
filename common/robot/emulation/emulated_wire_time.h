#pragma once

#include <cstdint>
#include <deque>
#include <span>
#include <vector>

#include "absl/time/time.h"

namespace demorl {

// The time that a half-duplex wire takes, for emulators: a byte is 10 bits, a reply is there with its last
// byte, and who speaks while another does garbles both. Of one thread.
class EmulatedWireTime {
 public:
  explicit EmulatedWireTime(int baud_rate) : byte_time_(absl::Seconds(10.0 / baud_rate)) {}

  // The host says something at `now`; false if it spoke into a reply, and neither is understood.
  bool Hear(size_t num_bytes, absl::Duration now) {
    const bool collides = !replies_.empty();
    free_ = (collides || free_ < now ? now : free_) + byte_time_ * static_cast<double>(num_bytes);
    num_collisions_ += collides ? 1 : 0;
    replies_.clear();
    return !collides;
  }

  // A device answers `delay` after all that was said before.
  void Say(absl::Duration delay, std::span<const uint8_t> bytes) {
    free_ += delay + byte_time_ * static_cast<double>(bytes.size());
    replies_.push_back({free_, {bytes.begin(), bytes.end()}});
  }

  // Appends what has arrived by `now`.
  void Release(absl::Duration now, std::vector<uint8_t>& output) {
    while (!replies_.empty() && replies_.front().due <= now) {
      output.insert(output.end(), replies_.front().bytes.begin(), replies_.front().bytes.end());
      replies_.pop_front();
    }
  }

  absl::Duration next_output() const {
    return replies_.empty() ? absl::InfiniteDuration() : replies_.front().due;
  }
  uint64_t num_collisions() const { return num_collisions_; }

 private:
  struct Reply {
    absl::Duration due;
    std::vector<uint8_t> bytes;
  };

  const absl::Duration byte_time_;
  // When all that was said so far has left the wire.
  absl::Duration free_;
  std::deque<Reply> replies_;
  uint64_t num_collisions_ = 0;
};

}  // namespace demorl
