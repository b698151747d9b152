#include "common/robot/drivers/imu/xsens_imu.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/base/status_macros.h"
#include "common/robot/drivers/imu/rotation.h"
#include "common/robot/drivers/imu/wire_numbers.h"

namespace demorl {
namespace {

constexpr absl::Duration kStartTimeout = absl::Seconds(2);
constexpr absl::Duration kAnswerTimeout = absl::Milliseconds(250);
constexpr char kProtocol[] = "Xbus (FA FF ...)";

struct Output {
  XbusItem item;
  const char* name;
  // Whether it comes at the chosen rate; otherwise with every sample.
  bool has_rate;
};
constexpr Output kOutputs[] = {{XbusItem::kPacketCounter, "packet counter", false},
                               {XbusItem::kSampleTimeFine, "sample time", false},
                               {XbusItem::kQuaternion, "quaternion", true},
                               {XbusItem::kAcceleration, "acceleration", true},
                               {XbusItem::kRateOfTurn, "rate of turn", true}};

absl::string_view ErrorText(uint8_t code) {
  switch (code) {
    case 0x03:
      return "period out of range";
    case 0x04:
      return "invalid message";
    case 0x1e:
      return "timer overflow";
    case 0x20:
      return "invalid baud rate";
    case 0x21:
      return "invalid parameter";
    default:
      return "unknown";
  }
}

// The rate that an output configuration gives to an item; 0 if it lacks the item.
uint16_t RateOf(XbusItem item, std::span<const uint8_t> configuration) {
  for (; configuration.size() >= 4; configuration = configuration.subspan(4)) {
    if (LoadBigEndian<uint16_t>(configuration) == static_cast<uint16_t>(item)) {
      return LoadBigEndian<uint16_t>(configuration.subspan(2));
    }
  }
  return 0;
}

}  // namespace

absl::Status XsensImu::Start() {
  if (options_.rate_hz < 1 || options_.rate_hz > 2000) {
    return absl::InvalidArgumentError(absl::StrCat("rate_hz = ", options_.rate_hz, "; want 1 to 2000"));
  }
  const absl::Duration deadline = receiver_.link().Now() + kStartTimeout;
  receiver_.Restart();
  std::vector<uint8_t> answer;
  RETURN_IF_ERROR(Request(XbusId::kGoToConfig, {}, "go to configuration", deadline, answer));
  RETURN_IF_ERROR(SetOutputs(deadline));
  RETURN_IF_ERROR(Request(XbusId::kGoToMeasurement, {}, "go to measurement", deadline, answer));
  ImuSample sample;
  return receiver_.Await(deadline, [&](const XbusMessage& message) { return Take(message, sample); })
             ? absl::OkStatus()
             : receiver_.Explain("send samples", kProtocol);
}

absl::Status XsensImu::Request(XbusId id, std::span<const uint8_t> data, absl::string_view verb,
                               absl::Duration deadline, std::vector<uint8_t>& answer) {
  std::vector<uint8_t> bytes;
  AppendXbusMessage(static_cast<uint8_t>(id), data, bytes);
  while (receiver_.link().Now() < deadline) {
    RETURN_IF_ERROR(receiver_.link().Send(bytes, deadline));
    uint8_t answered = 0;
    const auto is_answer = [&](const XbusMessage& message) {
      if (message.id != Acknowledgement(id) && message.id != static_cast<uint8_t>(XbusId::kError)) {
        return false;
      }
      answered = message.id;
      answer.assign(message.data.begin(), message.data.end());
      return true;
    };
    if (!receiver_.Await(std::min(deadline, receiver_.link().Now() + kAnswerTimeout), is_answer)) {
      continue;
    }
    if (answered == Acknowledgement(id)) {
      return absl::OkStatus();
    }
    const uint8_t code = answer.empty() ? 0 : answer[0];
    return absl::FailedPreconditionError(
        absl::StrFormat("the IMU should %s, but answered with error %d (%s)", verb, code, ErrorText(code)));
  }
  return receiver_.Explain(verb, kProtocol);
}

absl::Status XsensImu::SetOutputs(absl::Duration deadline) {
  std::vector<uint8_t> wanted, set;
  for (const Output& output : kOutputs) {
    AppendBigEndian(static_cast<uint16_t>(output.item), wanted);
    AppendBigEndian(output.has_rate ? static_cast<uint16_t>(options_.rate_hz) : kXbusEverySample, wanted);
  }
  RETURN_IF_ERROR(Request(XbusId::kOutputConfiguration, wanted, "set its outputs", deadline, set));
  for (const Output& output : kOutputs) {
    const uint16_t rate = RateOf(output.item, set);
    if (rate == 0 || (output.has_rate && rate != options_.rate_hz)) {
      return absl::FailedPreconditionError(
          absl::StrCat("asked for ", output.name, " at ", options_.rate_hz, " Hz, the IMU set ",
                       rate == 0 ? "none" : absl::StrCat(rate, " Hz"),
                       "; want a model that has it and a rate_hz that the model has"));
    }
  }
  return absl::OkStatus();
}

bool XsensImu::Poll(ImuSample& sample) {
  bool found = false;
  receiver_.Drain([&](const XbusMessage& message) { found = Take(message, sample) || found; });
  return found;
}

bool XsensImu::Take(const XbusMessage& message, ImuSample& sample) {
  if (message.id != static_cast<uint8_t>(XbusId::kMtData2)) {
    return false;
  }
  std::optional<XbusSample> received = ParseMtData2(message.data);
  if (!received || !received->packet_counter || !received->quaternion || !received->acceleration_m_s2 ||
      !received->rate_of_turn_rad_s || !Normalise(*received->quaternion) ||
      !AllFinite(*received->acceleration_m_s2) || !AllFinite(*received->rate_of_turn_rad_s)) {
    ++bad_samples_;
    return false;
  }
  if (counter_.Advance(*received->packet_counter) == 0) {
    return false;
  }
  ++num_samples_;
  sample = {.time = receiver_.link().arrival(),
            .sequence = counter_.sequence(),
            .orientation = *received->quaternion,
            .angular_velocity_rad_s = *received->rate_of_turn_rad_s,
            .acceleration_m_s2 = *received->acceleration_m_s2};
  return true;
}

ImuCounters XsensImu::counters() const {
  return {.samples = num_samples_,
          .bad_messages = receiver_.parser().bad_messages() + bad_samples_,
          .skipped_bytes = receiver_.parser().window().skipped_bytes(),
          .missed_samples = counter_.missed()};
}

}  // namespace demorl
