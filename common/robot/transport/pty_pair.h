#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/robot/transport/byte_stream.h"

namespace demorl {

// A pseudo-terminal: this side plays the device, whoever opens `path` is its host. There is no baud rate:
// bytes arrive at once. While no host has the path open, writes go nowhere and reads time out.
class PtyPair final : public ByteStream {
 public:
  // UNAVAILABLE if the system has none left.
  static absl::StatusOr<std::unique_ptr<PtyPair>> Open();
  ~PtyPair() override;

  // What the host opens, like a serial port.
  const std::string& path() const { return path_; }

  IoResult Write(std::span<const uint8_t> bytes) override;
  IoResult Read(std::span<uint8_t> bytes, absl::Duration deadline) override;
  void DiscardInput() override;

  // Ends the device's side as a pulled cable does: the host's reads and writes fail from now on.
  void Unplug();

  // For poll; -1 once unplugged.
  int descriptor() const { return device_; }

 private:
  PtyPair(int device, int host, std::string path) : device_(device), host_(host), path_(std::move(path)) {}

  int device_;
  // Kept open, so that a host may leave and come back.
  int host_;
  const std::string path_;
};

}  // namespace demorl
