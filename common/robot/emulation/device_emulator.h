#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "absl/time/time.h"

namespace demorl {

// What emulated motors move, and emulated sensors feel: a robot's twin, or a simple body in tests. Of one
// thread.
class RobotPlant {
 public:
  virtual ~RobotPlant() = default;

  virtual int num_joints() const = 0;

  // Moves time on by `duration` with these torques [num_joints] at the joints.
  virtual void Advance(absl::Duration duration, std::span<const double> torques_nm) = 0;

  virtual double position_rad(int joint) const = 0;
  virtual double velocity_rad_s(int joint) const = 0;
};

// The devices at the far end of one stream of bytes: they answer requests, send by themselves, and turn their
// last command into torques. Knows no threads and no real time, so that tests step it as they like. Of one
// thread.
class DeviceEmulator {
 public:
  virtual ~DeviceEmulator() = default;

  // Takes bytes as the wire delivers them, in any pieces, at time `now`; appends what the devices answer to
  // `replies`.
  virtual void Receive(std::span<const uint8_t> bytes, absl::Duration now, std::vector<uint8_t>& replies) = 0;

  // Called at each step of the plant, before it moves: watchdogs run out, samples are sent (appended to
  // `output`), and the torques [num_joints of the plant] of this emulator's motors are set; other entries are
  // left alone.
  virtual void Step(absl::Duration now, const RobotPlant& plant, std::span<double> torques_nm,
                    std::vector<uint8_t>& output) = 0;

  // When it has something to send before the next step, as replies that the wire still holds; whoever runs it
  // then calls Receive, if need be with no bytes.
  virtual absl::Duration next_output() const { return absl::InfiniteDuration(); }
};

// Faults of the wire and of devices, for tests and for trying an installation.
struct EmulatorFaults {
  // The host's end reads an error, as when a cable is pulled.
  bool unplugged = false;
  // Nothing is answered and nothing is sent.
  bool stuck = false;
  // Every message to the host is sent twice.
  bool duplicate_replies = false;
  // Messages to the host wait this long.
  absl::Duration reply_delay;
  // Share of messages to the host with one flipped bit.
  double corrupted_share = 0;
  // Bytes of noise sent to the host each millisecond.
  int babble_bytes = 0;
};

}  // namespace demorl
