#include "common/robot/drivers/imu/xsens_emulator.h"

#include <algorithm>
#include <utility>

#include "common/robot/drivers/imu/wire_numbers.h"

namespace demorl {
namespace {

constexpr uint8_t kInvalidMessage = 0x04;
constexpr uint8_t kInvalidParameter = 0x21;
constexpr uint32_t kFilterValid = 0x3;  // status word: self-test and filter are good
constexpr int kSampleTimeHz = 10'000;

bool ComesWithEverySample(XbusItem item) {
  return item == XbusItem::kPacketCounter || item == XbusItem::kSampleTimeFine ||
         item == XbusItem::kStatusWord;
}

bool IsKnown(XbusItem item) {
  return ComesWithEverySample(item) || item == XbusItem::kQuaternion || item == XbusItem::kAcceleration ||
         item == XbusItem::kRateOfTurn;
}

void AppendError(uint8_t code, std::vector<uint8_t>& replies) {
  AppendXbusMessage(static_cast<uint8_t>(XbusId::kError), {&code, 1}, replies);
}

template <typename Values>
void AppendFloats(const Values& values, std::vector<uint8_t>& data) {
  for (const double value : values) {
    AppendBigEndian(FloatBits(value), data);
  }
}

}  // namespace

XsensEmulator::XsensEmulator(const XsensEmulatorOptions& options, ImuSource source)
    : options_(options), source_(std::move(source)) {
  Restart();
}

void XsensEmulator::Restart() {
  measuring_ = true;
  outputs_ = {{XbusItem::kPacketCounter, kXbusEverySample},
              {XbusItem::kSampleTimeFine, kXbusEverySample},
              {XbusItem::kQuaternion, 100}};
  pacer_.SetRate(100);
  packet_counter_ = 0;
}

void XsensEmulator::Receive(std::span<const uint8_t> bytes, absl::Duration, std::vector<uint8_t>& replies) {
  XbusMessage message;
  while (!bytes.empty()) {
    const std::span<uint8_t> space = parser_.window().FreeSpace();
    const size_t count = std::min(space.size(), bytes.size());
    std::copy_n(bytes.begin(), count, space.begin());
    parser_.window().Commit(count);
    bytes = bytes.subspan(count);
    while (parser_.Next(message)) {
      Answer(message, replies);
    }
  }
}

void XsensEmulator::Answer(const XbusMessage& message, std::vector<uint8_t>& replies) {
  switch (static_cast<XbusId>(message.id)) {
    case XbusId::kGoToConfig:
      measuring_ = false;
      AppendXbusMessage(Acknowledgement(XbusId::kGoToConfig), {}, replies);
      return;
    case XbusId::kReset:
      AppendXbusMessage(Acknowledgement(XbusId::kReset), {}, replies);
      Restart();
      return;
    default:
      if (measuring_) {
        AppendError(kInvalidMessage, replies);
      } else {
        AnswerInConfiguration(message, replies);
      }
  }
}

void XsensEmulator::AnswerInConfiguration(const XbusMessage& message, std::vector<uint8_t>& replies) {
  switch (static_cast<XbusId>(message.id)) {
    case XbusId::kReqDeviceId: {
      std::vector<uint8_t> id;
      AppendBigEndian(options_.device_id, id);
      AppendXbusMessage(Acknowledgement(XbusId::kReqDeviceId), id, replies);
      return;
    }
    case XbusId::kOutputConfiguration:
      if (!message.data.empty() && !SetOutputs(message.data)) {
        AppendError(kInvalidParameter, replies);
        return;
      }
      AppendXbusMessage(Acknowledgement(XbusId::kOutputConfiguration), OutputConfiguration(), replies);
      return;
    case XbusId::kGoToMeasurement:
      measuring_ = true;
      AppendXbusMessage(Acknowledgement(XbusId::kGoToMeasurement), {}, replies);
      return;
    default:
      AppendError(kInvalidMessage, replies);
  }
}

bool XsensEmulator::SetOutputs(std::span<const uint8_t> data) {
  std::vector<Output> outputs;
  int fastest_hz = 0;
  for (; data.size() >= 4; data = data.subspan(4)) {
    Output output{static_cast<XbusItem>(LoadBigEndian<uint16_t>(data)), kXbusEverySample};
    const int asked_hz = LoadBigEndian<uint16_t>(data.subspan(2));
    if (!IsKnown(output.item) || asked_hz == 0) {
      return false;
    }
    if (!ComesWithEverySample(output.item)) {
      const int divisor = std::max(1, (options_.max_rate_hz + asked_hz - 1) / asked_hz);
      output.rate_hz = static_cast<uint16_t>(options_.max_rate_hz / divisor);
      fastest_hz = std::max<int>(fastest_hz, output.rate_hz);
    }
    outputs.push_back(output);
  }
  if (!data.empty() || fastest_hz == 0) {
    return false;
  }
  outputs_ = std::move(outputs);
  pacer_.SetRate(fastest_hz);
  return true;
}

std::vector<uint8_t> XsensEmulator::OutputConfiguration() const {
  std::vector<uint8_t> data;
  for (const Output& output : outputs_) {
    AppendBigEndian(static_cast<uint16_t>(output.item), data);
    AppendBigEndian(output.rate_hz, data);
  }
  return data;
}

void XsensEmulator::Step(absl::Duration now, const RobotPlant&, std::span<double>,
                         std::vector<uint8_t>& output) {
  if (!measuring_ || !pacer_.Due(now)) {
    return;
  }
  const ImuMotion motion = source_(now);
  std::vector<uint8_t> data;
  for (const Output& wanted : outputs_) {
    AppendItem(wanted.item, motion, now, data);
  }
  ++packet_counter_;
  AppendXbusMessage(static_cast<uint8_t>(XbusId::kMtData2), data, output);
}

void XsensEmulator::AppendItem(XbusItem item, const ImuMotion& motion, absl::Duration now,
                               std::vector<uint8_t>& data) const {
  std::vector<uint8_t> value;
  switch (item) {
    case XbusItem::kPacketCounter:
      AppendBigEndian(packet_counter_, value);
      break;
    case XbusItem::kSampleTimeFine:
      AppendBigEndian(static_cast<uint32_t>(now / absl::Seconds(1.0 / kSampleTimeHz)), value);
      break;
    case XbusItem::kStatusWord:
      AppendBigEndian(kFilterValid, value);
      break;
    case XbusItem::kQuaternion:
      AppendFloats(motion.orientation, value);
      break;
    case XbusItem::kAcceleration:
      AppendFloats(motion.acceleration_m_s2, value);
      break;
    case XbusItem::kRateOfTurn:
      AppendFloats(motion.angular_velocity_rad_s, value);
      break;
  }
  AppendBigEndian(static_cast<uint16_t>(item), data);
  data.push_back(static_cast<uint8_t>(value.size()));
  data.insert(data.end(), value.begin(), value.end());
}

}  // namespace demorl
