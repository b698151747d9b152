#include "common/robot/drivers/imu/vectornav_imu.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/base/status_macros.h"
#include "common/robot/drivers/imu/rotation.h"
#include "common/robot/drivers/imu/wire_numbers.h"

namespace demorl {
namespace {

constexpr absl::Duration kStartTimeout = absl::Seconds(2);
constexpr absl::Duration kAnswerTimeout = absl::Milliseconds(250);
constexpr char kProtocol[] = "VectorNav ($VN..., FA 01 ...)";

// Of "VNERR,<code>" (VN-100 User Manual, "System error codes").
absl::string_view ErrorText(absl::string_view code) {
  static constexpr absl::string_view kTexts[] = {"unknown",
                                                 "hard fault",
                                                 "serial buffer overflow",
                                                 "invalid checksum",
                                                 "invalid command",
                                                 "not enough parameters",
                                                 "too many parameters",
                                                 "invalid parameter",
                                                 "invalid register",
                                                 "unauthorized access",
                                                 "watchdog reset",
                                                 "output buffer overflow",
                                                 "insufficient baud rate"};
  uint32_t number = 0;
  return absl::SimpleHexAtoi(code, &number) && number < std::size(kTexts) ? kTexts[number] : kTexts[0];
}

absl::Status CheckOptions(const VectorNavOptions& options) {
  if (options.rate_hz < 1 || options.base_rate_hz < 1 || options.base_rate_hz % options.rate_hz != 0) {
    return absl::InvalidArgumentError(absl::StrCat("rate_hz = ", options.rate_hz, "; want a whole part of ",
                                                   options.base_rate_hz, " (base_rate_hz)"));
  }
  if (options.serial_port != 1 && options.serial_port != 2) {
    return absl::InvalidArgumentError(absl::StrCat("serial_port = ", options.serial_port, "; want 1 or 2"));
  }
  return absl::OkStatus();
}

// From x forward, y right, z down to x forward, y left, z up.
std::array<double, 3> Upright(const std::array<double, 3>& v) { return {v[0], -v[1], -v[2]}; }

}  // namespace

absl::Status VectorNavImu::Start() {
  RETURN_IF_ERROR(CheckOptions(options_));
  const absl::Duration deadline = receiver_.link().Now() + kStartTimeout;
  receiver_.Restart();
  RETURN_IF_ERROR(WriteRegister("06", "0", "end its text output", deadline));
  const std::string output = absl::StrFormat("%d,%d,01,%04X", options_.serial_port,
                                             options_.base_rate_hz / options_.rate_hz, kVnSampleFields);
  RETURN_IF_ERROR(WriteRegister("75", output, "set up its binary output", deadline));
  ImuSample sample;
  return receiver_.Await(deadline, [&](const VectorNavMessage& message) { return Take(message, sample); })
             ? absl::OkStatus()
             : receiver_.Explain("send samples", kProtocol);
}

absl::Status VectorNavImu::WriteRegister(absl::string_view number, absl::string_view values,
                                         absl::string_view verb, absl::Duration deadline) {
  const std::string command = VectorNavText(absl::StrCat("VNWRG,", number, ",", values));
  const std::span bytes(reinterpret_cast<const uint8_t*>(command.data()), command.size());
  while (receiver_.link().Now() < deadline) {
    RETURN_IF_ERROR(receiver_.link().Send(bytes, deadline));
    std::string answer;
    const auto is_answer = [&](const VectorNavMessage& message) {
      const bool answers =
          message.has_checksum && (absl::StartsWith(message.text, "VNERR") ||
                                   absl::StartsWith(message.text, "VNWRG," + std::string(number)));
      if (answers) {
        answer = std::string(message.text);
      }
      return answers;
    };
    if (!receiver_.Await(std::min(deadline, receiver_.link().Now() + kAnswerTimeout), is_answer)) {
      continue;
    }
    if (!absl::StartsWith(answer, "VNERR")) {
      return absl::OkStatus();
    }
    const absl::string_view code = absl::string_view(answer).substr(std::min<size_t>(6, answer.size()));
    return absl::FailedPreconditionError(absl::StrCat("the IMU should ", verb, ", but answered with error ",
                                                      code, " (", ErrorText(code), ") to register ", number,
                                                      " = ", values));
  }
  return receiver_.Explain(verb, kProtocol);
}

bool VectorNavImu::Poll(ImuSample& sample) {
  bool found = false;
  receiver_.Drain([&](const VectorNavMessage& message) { found = Take(message, sample) || found; });
  return found;
}

bool VectorNavImu::Take(const VectorNavMessage& message, ImuSample& sample) {
  const std::optional<VectorNavSample> received = ParseVectorNavSample(message);
  if (!received) {
    return false;
  }
  // Between worlds that differ by pi about x, and bodies that do too, y and z change sign.
  const auto [x, y, z, w] = received->quaternion_xyzw;
  Quaternion orientation = {w, x, -y, -z};
  if (!Normalise(orientation) || !AllFinite(received->angular_rate_rad_s) ||
      !AllFinite(received->acceleration_m_s2)) {
    ++bad_samples_;
    return false;
  }
  const int64_t steps = Advance(received->time_startup_ns);
  if (steps == 0) {
    return false;
  }
  ++num_samples_;
  sequence_ += static_cast<uint32_t>(steps);
  num_missed_ += steps - 1;
  sample = {.time = receiver_.link().arrival(),
            .sequence = sequence_,
            .orientation = orientation,
            .angular_velocity_rad_s = Upright(received->angular_rate_rad_s),
            .acceleration_m_s2 = Upright(received->acceleration_m_s2)};
  return true;
}

int64_t VectorNavImu::Advance(uint64_t time_ns) {
  const uint64_t last = std::exchange(last_time_ns_, time_ns);
  if (last == time_ns) {
    return 0;
  }
  // Backwards: the device has started anew.
  if (num_samples_ == 0 || time_ns < last) {
    return 1;
  }
  const double periods = static_cast<double>(time_ns - last) * 1e-9 * options_.rate_hz;
  return std::max<int64_t>(1, std::llround(periods));
}

ImuCounters VectorNavImu::counters() const {
  return {.samples = num_samples_,
          .bad_messages = receiver_.parser().bad_messages() + bad_samples_,
          .skipped_bytes = receiver_.parser().window().skipped_bytes(),
          .missed_samples = num_missed_};
}

}  // namespace demorl
