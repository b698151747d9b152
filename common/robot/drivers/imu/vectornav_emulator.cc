#include "common/robot/drivers/imu/vectornav_emulator.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/robot/drivers/imu/rotation.h"
#include "common/robot/drivers/imu/wire_numbers.h"

namespace demorl {
namespace {

constexpr int kBaseRateHz = 800;
constexpr int kSerialPort = 1;
constexpr int kAsyncType = 6, kAsyncRate = 7, kBinaryOutput = 75;
constexpr char kYmr[] = "14";

enum Error { kNone = 0, kInvalidCommand = 4, kTooFew = 5, kTooMany = 6, kInvalidParameter = 7 };
constexpr int kInvalidRegister = 8, kUnauthorized = 9, kInsufficientBaudRate = 12;

std::vector<uint8_t> Bytes(absl::string_view text) { return {text.begin(), text.end()}; }

// From x forward, y left, z up to x forward, y right, z down.
std::array<double, 3> Inverted(const std::array<double, 3>& v) { return {v[0], -v[1], -v[2]}; }

Quaternion InvertedOrientation(const ImuMotion& motion) {
  const auto [w, x, y, z] = motion.orientation;
  return {w, x, -y, -z};
}

int ErrorOfCount(const std::vector<std::string>& values, size_t wanted) {
  return values.size() == wanted ? kNone : values.size() < wanted ? kTooFew : kTooMany;
}

}  // namespace

VectorNavEmulator::VectorNavEmulator(const VectorNavEmulatorOptions& options, ImuSource source)
    : options_(options),
      source_(std::move(source)),
      registers_{{1, "VN-100S (emulated)"}, {4, "3.1.0.0"},     {5, absl::StrCat(options.baud_rate)},
                 {kAsyncType, kYmr},        {kAsyncRate, "40"}, {kBinaryOutput, "0,0,00,0000"}} {
  text_pacer_.SetRate(40);
}

void VectorNavEmulator::Receive(std::span<const uint8_t> bytes, absl::Duration,
                                std::vector<uint8_t>& replies) {
  VectorNavMessage message;
  while (!bytes.empty()) {
    const std::span<uint8_t> space = parser_.window().FreeSpace();
    const size_t count = std::min(space.size(), bytes.size());
    std::copy_n(bytes.begin(), count, space.begin());
    parser_.window().Commit(count);
    bytes = bytes.subspan(count);
    while (parser_.Next(message)) {
      const std::vector<uint8_t> answer = Bytes(VectorNavText(Answer(message.text)));
      replies.insert(replies.end(), answer.begin(), answer.end());
    }
  }
}

std::string VectorNavEmulator::Answer(absl::string_view command) {
  const std::vector<std::string> parts = absl::StrSplit(command, ',');
  const auto error = [](int code) { return absl::StrFormat("VNERR,%02X", code); };
  if (parts[0] != "VNRRG" && parts[0] != "VNWRG") {
    return error(kInvalidCommand);
  }
  int number = 0;
  if (parts.size() < 2) {
    return error(kTooFew);
  }
  const auto found = absl::SimpleAtoi(parts[1], &number) ? registers_.find(number) : registers_.end();
  if (found == registers_.end()) {
    return error(kInvalidRegister);
  }
  if (parts[0] == "VNRRG") {
    return absl::StrCat("VNRRG,", parts[1], ",", found->second);
  }
  const std::vector<std::string> values(parts.begin() + 2, parts.end());
  if (const int code = WriteRegister(number, values); code != kNone) {
    return error(code);
  }
  found->second = absl::StrJoin(values, ",");
  return std::string(command);
}

int VectorNavEmulator::WriteRegister(int number, const std::vector<std::string>& values) {
  static constexpr int kTextRates[] = {1, 2, 4, 5, 10, 20, 25, 40, 50, 100, 200};
  switch (number) {
    case kAsyncType:
      if (const int error = ErrorOfCount(values, 1); error != kNone) {
        return error;
      }
      if (values[0] != "0" && values[0] != kYmr) {
        return kInvalidParameter;
      }
      sends_text_ = values[0] == kYmr;
      return kNone;
    case kAsyncRate: {
      int rate_hz = 0;
      if (const int error = ErrorOfCount(values, 1); error != kNone) {
        return error;
      }
      if (!absl::SimpleAtoi(values[0], &rate_hz) ||
          std::find(std::begin(kTextRates), std::end(kTextRates), rate_hz) == std::end(kTextRates)) {
        return kInvalidParameter;
      }
      text_pacer_.SetRate(rate_hz);
      return kNone;
    }
    case kBinaryOutput:
      return SetBinaryOutput(values);
    default:
      return kUnauthorized;
  }
}

int VectorNavEmulator::SetBinaryOutput(const std::vector<std::string>& values) {
  if (const int error = ErrorOfCount(values, 4); error != kNone) {
    return error;
  }
  int ports = 0, divisor = 0;
  uint32_t groups = 0, fields = 0;
  if (!absl::SimpleAtoi(values[0], &ports) || !absl::SimpleAtoi(values[1], &divisor) ||
      !absl::SimpleHexAtoi(values[2], &groups) || !absl::SimpleHexAtoi(values[3], &fields) || ports < 0 ||
      ports > 3 || divisor < 1 || groups != 1 || fields == 0 || (fields & ~uint32_t{kVnSampleFields}) != 0) {
    return kInvalidParameter;
  }
  const bool on = (ports & kSerialPort) != 0;
  const size_t bytes = 6 + 8 * ((fields & kVnTimeStartup) != 0) + 16 * ((fields & kVnQuaternion) != 0) +
                       12 * ((fields & kVnAngularRate) != 0) + 12 * ((fields & kVnAcceleration) != 0);
  if (on && 10.0 * bytes * kBaseRateHz / divisor > options_.baud_rate) {
    return kInsufficientBaudRate;
  }
  binary_fields_ = on ? static_cast<uint16_t>(fields) : 0;
  binary_pacer_.SetRate(static_cast<double>(kBaseRateHz) / divisor);
  return kNone;
}

void VectorNavEmulator::Step(absl::Duration now, const RobotPlant&, std::span<double>,
                             std::vector<uint8_t>& output) {
  if (sends_text_ && text_pacer_.Due(now)) {
    SendText(source_(now), output);
  }
  if (binary_fields_ != 0 && binary_pacer_.Due(now)) {
    SendBinary(source_(now), now, output);
  }
}

void VectorNavEmulator::SendText(const ImuMotion& motion, std::vector<uint8_t>& output) const {
  const auto [w, x, y, z] = InvertedOrientation(motion);
  constexpr double kDegree = 180 / std::numbers::pi;
  const double yaw = std::atan2(2 * (x * y + w * z), 1 - 2 * (y * y + z * z)) * kDegree;
  const double pitch = std::asin(std::clamp(2 * (w * y - x * z), -1.0, 1.0)) * kDegree;
  const double roll = std::atan2(2 * (y * z + w * x), 1 - 2 * (x * x + y * y)) * kDegree;
  const auto a = Inverted(motion.acceleration_m_s2), rate = Inverted(motion.angular_velocity_rad_s);
  // The magnetic field is that of no place in particular.
  const std::vector<uint8_t> text = Bytes(VectorNavText(absl::StrFormat(
      "VNYMR,%+08.3f,%+08.3f,%+08.3f,+01.0000,+00.0000,+01.0000,%+07.3f,%+07.3f,%+07.3f,%+010.6f,%+010.6f,"
      "%+010.6f",
      yaw, pitch, roll, a[0], a[1], a[2], rate[0], rate[1], rate[2])));
  output.insert(output.end(), text.begin(), text.end());
}

void VectorNavEmulator::SendBinary(const ImuMotion& motion, absl::Duration now,
                                   std::vector<uint8_t>& output) const {
  const auto [w, x, y, z] = InvertedOrientation(motion);
  std::vector<uint8_t> payload;
  const auto append = [&](VectorNavField field, const auto& values) {
    for (const double value : values) {
      if ((binary_fields_ & field) != 0) {
        AppendLittleEndian(FloatBits(value), payload);
      }
    }
  };
  if ((binary_fields_ & kVnTimeStartup) != 0) {
    AppendLittleEndian(static_cast<uint64_t>(absl::ToInt64Nanoseconds(now)), payload);
  }
  append(kVnQuaternion, std::array{x, y, z, w});
  append(kVnAngularRate, Inverted(motion.angular_velocity_rad_s));
  append(kVnAcceleration, Inverted(motion.acceleration_m_s2));
  AppendVectorNavBinary(binary_fields_, payload, output);
}

}  // namespace demorl
