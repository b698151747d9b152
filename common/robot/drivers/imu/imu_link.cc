#include "common/robot/drivers/imu/imu_link.h"

#include <algorithm>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace demorl {
namespace {

// Between two tries to send into a full buffer.
constexpr absl::Duration kRetryPeriod = absl::Milliseconds(2);

std::string HexDump(std::span<const uint8_t> bytes) {
  std::string text;
  for (const uint8_t byte : bytes) {
    absl::StrAppendFormat(&text, "%s%02X", text.empty() ? "" : " ", byte);
  }
  return text;
}

}  // namespace

bool ImuLink::Receive(ByteWindow& window, absl::Duration deadline) {
  const std::span<uint8_t> space = window.FreeSpace();
  const IoResult result = stream_->Read(space, deadline);
  if (!result.ok() || result.num_bytes == 0) {
    closed_ = closed_ || result.code == IoResult::Code::kClosed || result.code == IoResult::Code::kFailed;
    error_number_ = closed_ && error_number_ == 0 ? result.error_number : error_number_;
    return false;
  }
  arrival_ = clock_->Now();
  if (received_bytes_ < first_bytes_.size()) {
    const size_t count = std::min(first_bytes_.size() - received_bytes_, result.num_bytes);
    std::copy_n(space.begin(), count, first_bytes_.begin() + received_bytes_);
  }
  received_bytes_ += result.num_bytes;
  window.Commit(result.num_bytes);
  return true;
}

void ImuLink::Restart(ByteWindow& window) {
  stream_->DiscardInput();
  window.Clear();
  received_bytes_ = 0;
}

absl::Status ImuLink::Send(std::span<const uint8_t> bytes, absl::Duration deadline) {
  while (!bytes.empty()) {
    const IoResult result = stream_->Write(bytes);
    if (result.ok()) {
      bytes = bytes.subspan(result.num_bytes);
    } else if (result.code != IoResult::Code::kTimedOut) {
      closed_ = true;
      error_number_ = result.error_number;
      return Explain("take a command", "", false);
    } else if (clock_->Now() >= deadline) {
      return absl::UnavailableError("the port takes no bytes: its send buffer stays full");
    } else {
      absl::SleepFor(kRetryPeriod);
    }
  }
  return absl::OkStatus();
}

absl::Status ImuLink::Explain(absl::string_view expected, absl::string_view protocol,
                              bool speaks_protocol) const {
  if (closed_) {
    return absl::UnavailableError(absl::StrCat(
        "the IMU should ", expected, ", but its port is closed",
        error_number_ != 0 ? absl::StrCat(" (", strerror(error_number_), ")") : "", "; is it plugged in?"));
  }
  if (received_bytes_ == 0) {
    return absl::UnavailableError(absl::StrCat("the IMU should ", expected,
                                               ", but is silent: no byte came; check power, wires and the "
                                               "port's baud rate"));
  }
  if (speaks_protocol) {
    return absl::UnavailableError(
        absl::StrCat("the IMU should ", expected, ", but has not, though it speaks ", protocol));
  }
  const size_t shown = std::min<uint64_t>(received_bytes_, first_bytes_.size());
  return absl::FailedPreconditionError(absl::StrCat(
      "the IMU should ", expected, ", but sent ", received_bytes_, " bytes without a message of ", protocol,
      "; they begin ", HexDump(std::span(first_bytes_).first(shown)),
      "; is this the right port, driver and baud rate?"));
}

}  // namespace demorl
