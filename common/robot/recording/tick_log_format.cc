#include "common/robot/recording/tick_log_format.h"

#include <array>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "common/base/crc32c.h"
#include "common/base/status_macros.h"

namespace demorl {
namespace {

constexpr char kMagic[] = "demorl ticks";
constexpr uint32_t kFormatVersion = 1;

template <size_t N>
using Text = std::array<char, N>;

struct RawLimits {
  Text<40> joint_name{};
  double minimum_position_rad = 0, maximum_position_rad = 0;
  double soft_zone_rad = 0, soft_zone_stiffness_nm_rad = 0;
  double maximum_velocity_rad_s = 0, velocity_taper_share = 0;
  double maximum_torque_nm = 0, maximum_torque_rate_nm_s = 0;
  double maximum_temperature_c = 0, minimum_voltage_v = 0, maximum_voltage_v = 0;
  double maximum_tracking_error_rad = 0;
  double safe_damping_nm_s_rad = 0, hold_stiffness_nm_rad = 0;
};

struct RawHeader {
  Text<16> magic{};
  uint32_t format_version = 0;
  uint32_t crc = 0;  // over the whole of RawHeader, this field 0
  // Of this build's structs: records of another layout cannot be read.
  uint32_t record_struct_bytes = 0;
  uint32_t measurement_struct_bytes = 0;
  uint32_t command_struct_bytes = 0;
  uint32_t imu_struct_bytes = 0;
  int32_t num_joints = 0;
  int32_t observation_size = 0;
  int32_t action_size = 0;
  uint32_t acts_by_mean = 0;
  uint64_t num_slots = 0;
  int64_t control_period_ns = 0;
  int64_t start_time_ns = 0;  // since the Unix epoch
  Text<64> robot_name{};
  Text<64> schema_hash{};
  std::array<RawLimits, kMaxJoints> limits{};
};
static_assert(sizeof(RawHeader) <= kTickLogHeaderBytes);

template <size_t N>
absl::Status SetText(absl::string_view what, const std::string& value, Text<N>& text) {
  if (value.size() >= N) {
    return absl::InvalidArgumentError(absl::StrCat(what, " '", value, "' has ", value.size(),
                                                   " characters, at most ", N - 1,
                                                   " fit into a log of ticks"));
  }
  std::memcpy(text.data(), value.data(), value.size());
  return absl::OkStatus();
}

template <size_t N>
std::string GetText(const Text<N>& text) {
  return std::string(text.data(), strnlen(text.data(), N));
}

absl::StatusOr<RawLimits> EncodeLimits(const JointLimits& limits) {
  RawLimits raw{.minimum_position_rad = limits.minimum_position_rad,
                .maximum_position_rad = limits.maximum_position_rad,
                .soft_zone_rad = limits.soft_zone_rad,
                .soft_zone_stiffness_nm_rad = limits.soft_zone_stiffness_nm_rad,
                .maximum_velocity_rad_s = limits.maximum_velocity_rad_s,
                .velocity_taper_share = limits.velocity_taper_share,
                .maximum_torque_nm = limits.maximum_torque_nm,
                .maximum_torque_rate_nm_s = limits.maximum_torque_rate_nm_s,
                .maximum_temperature_c = limits.maximum_temperature_c,
                .minimum_voltage_v = limits.minimum_voltage_v,
                .maximum_voltage_v = limits.maximum_voltage_v,
                .maximum_tracking_error_rad = limits.maximum_tracking_error_rad,
                .safe_damping_nm_s_rad = limits.safe_damping_nm_s_rad,
                .hold_stiffness_nm_rad = limits.hold_stiffness_nm_rad};
  RETURN_IF_ERROR(SetText("joint name", limits.joint_name, raw.joint_name));
  return raw;
}

JointLimits DecodeLimits(const RawLimits& raw) {
  return {.joint_name = GetText(raw.joint_name),
          .minimum_position_rad = raw.minimum_position_rad,
          .maximum_position_rad = raw.maximum_position_rad,
          .soft_zone_rad = raw.soft_zone_rad,
          .soft_zone_stiffness_nm_rad = raw.soft_zone_stiffness_nm_rad,
          .maximum_velocity_rad_s = raw.maximum_velocity_rad_s,
          .velocity_taper_share = raw.velocity_taper_share,
          .maximum_torque_nm = raw.maximum_torque_nm,
          .maximum_torque_rate_nm_s = raw.maximum_torque_rate_nm_s,
          .maximum_temperature_c = raw.maximum_temperature_c,
          .minimum_voltage_v = raw.minimum_voltage_v,
          .maximum_voltage_v = raw.maximum_voltage_v,
          .maximum_tracking_error_rad = raw.maximum_tracking_error_rad,
          .safe_damping_nm_s_rad = raw.safe_damping_nm_s_rad,
          .hold_stiffness_nm_rad = raw.hold_stiffness_nm_rad};
}

uint32_t HeaderCrc(RawHeader raw) {
  raw.crc = 0;
  return Crc32c(absl::string_view(reinterpret_cast<const char*>(&raw), sizeof(raw)));
}

absl::Status CheckSizes(int num_joints, int observation_size, int action_size, size_t num_limits) {
  if (num_joints < 1 || num_joints > kMaxJoints || observation_size < 1 ||
      observation_size > kMaxObservationSize || action_size < 1 || action_size > kMaxActionSize ||
      num_limits != num_joints) {
    return absl::InvalidArgumentError(
        absl::StrCat("a log of ticks of ", num_joints, " joints with ", num_limits,
                     " limits, observations of ", observation_size, " and actions of ", action_size,
                     "; want 1 to ", kMaxJoints, " joints with a limit each, observations of 1 to ",
                     kMaxObservationSize, ", actions of 1 to ", kMaxActionSize));
  }
  return absl::OkStatus();
}

uint32_t SlotCrc(uint64_t number, absl::string_view packed) {
  return Crc32c(packed, Crc32c(absl::string_view(reinterpret_cast<const char*>(&number), sizeof(number))));
}

}  // namespace

TickPacker::TickPacker(const TickLogHeader& header) {
  const size_t joints = header.num_joints;
  const auto add = [&](size_t offset, size_t num_bytes) {
    spans_.push_back({offset, num_bytes});
    packed_bytes_ += num_bytes;
  };
  add(0, offsetof(TickRecord, observation));
  add(offsetof(TickRecord, observation), header.observation_size * sizeof(float));
  add(offsetof(TickRecord, action), header.action_size * sizeof(float));
  add(offsetof(TickRecord, measured), joints * sizeof(JointMeasurement));
  add(offsetof(TickRecord, imu), offsetof(TickRecord, envelope) - offsetof(TickRecord, imu));
  add(offsetof(TickRecord, envelope), joints * sizeof(double));
  add(offsetof(TickRecord, requested), joints * sizeof(JointCommand));
  add(offsetof(TickRecord, commanded), joints * sizeof(JointCommand));
  add(offsetof(TickRecord, clamps), sizeof(SafetyEnvelope::Clamps));
}

void TickPacker::Pack(uint64_t number, const TickRecord& record, std::string& slot) const {
  slot.assign(slot_bytes(), '\0');
  char* const packed = slot.data() + sizeof(TickSlotHead);
  char* end = packed;
  for (const Span& span : spans_) {
    std::memcpy(end, reinterpret_cast<const char*>(&record) + span.offset, span.num_bytes);
    end += span.num_bytes;
  }
  const TickSlotHead head{.number = number, .crc = SlotCrc(number, {packed, packed_bytes_})};
  std::memcpy(slot.data(), &head, sizeof(head));
}

uint64_t TickPacker::Unpack(absl::string_view slot, TickRecord& record) const {
  TickSlotHead head;
  if (slot.size() < sizeof(head) + packed_bytes_) {
    return 0;
  }
  std::memcpy(&head, slot.data(), sizeof(head));
  const absl::string_view packed = slot.substr(sizeof(head), packed_bytes_);
  if (head.number == 0 || head.crc != SlotCrc(head.number, packed)) {
    return 0;
  }
  record = TickRecord{};
  const char* begin = packed.data();
  for (const Span& span : spans_) {
    std::memcpy(reinterpret_cast<char*>(&record) + span.offset, begin, span.num_bytes);
    begin += span.num_bytes;
  }
  return head.number;
}

absl::StatusOr<std::string> EncodeTickLogHeader(const TickLogHeader& header, uint64_t num_slots) {
  RETURN_IF_ERROR(
      CheckSizes(header.num_joints, header.observation_size, header.action_size, header.limits.size()));
  RawHeader raw{.format_version = kFormatVersion,
                .record_struct_bytes = sizeof(TickRecord),
                .measurement_struct_bytes = sizeof(JointMeasurement),
                .command_struct_bytes = sizeof(JointCommand),
                .imu_struct_bytes = sizeof(ImuSample),
                .num_joints = header.num_joints,
                .observation_size = header.observation_size,
                .action_size = header.action_size,
                .acts_by_mean = header.acts_by_mean ? 1u : 0u,
                .num_slots = num_slots,
                .control_period_ns = absl::ToInt64Nanoseconds(header.control_period),
                .start_time_ns = absl::ToUnixNanos(header.start_time)};
  std::memcpy(raw.magic.data(), kMagic, sizeof(kMagic));
  RETURN_IF_ERROR(SetText("robot name", header.robot_name, raw.robot_name));
  RETURN_IF_ERROR(SetText("schema hash", header.schema_hash, raw.schema_hash));
  for (int i = 0; i < header.num_joints; ++i) {
    ASSIGN_OR_RETURN(raw.limits[i], EncodeLimits(header.limits[i]));
  }
  raw.crc = HeaderCrc(raw);
  std::string bytes(reinterpret_cast<const char*>(&raw), sizeof(raw));
  bytes.resize(kTickLogHeaderBytes, '\0');
  return bytes;
}

absl::StatusOr<DecodedTickLogHeader> DecodeTickLogHeader(absl::string_view bytes) {
  RawHeader raw;
  if (bytes.size() < sizeof(raw) ||
      bytes.substr(0, sizeof(kMagic)) != absl::string_view(kMagic, sizeof(kMagic))) {
    return absl::InvalidArgumentError("not a log of ticks");
  }
  std::memcpy(&raw, bytes.data(), sizeof(raw));
  const RawHeader own{.format_version = kFormatVersion,
                      .record_struct_bytes = sizeof(TickRecord),
                      .measurement_struct_bytes = sizeof(JointMeasurement),
                      .command_struct_bytes = sizeof(JointCommand),
                      .imu_struct_bytes = sizeof(ImuSample)};
  if (raw.format_version != own.format_version || raw.record_struct_bytes != own.record_struct_bytes ||
      raw.measurement_struct_bytes != own.measurement_struct_bytes ||
      raw.command_struct_bytes != own.command_struct_bytes || raw.imu_struct_bytes != own.imu_struct_bytes) {
    return absl::FailedPreconditionError(
        absl::StrCat("a log of ticks of format ", raw.format_version, " with records of ",
                     raw.record_struct_bytes, " bytes, written by another build; this one reads format ",
                     own.format_version, " with records of ", own.record_struct_bytes, " bytes"));
  }
  if (raw.crc != HeaderCrc(raw)) {
    return absl::DataLossError("the header of the log of ticks is damaged");
  }
  RETURN_IF_ERROR(CheckSizes(raw.num_joints, raw.observation_size, raw.action_size, raw.num_joints));
  DecodedTickLogHeader decoded{.header = {.robot_name = GetText(raw.robot_name),
                                          .schema_hash = GetText(raw.schema_hash),
                                          .num_joints = raw.num_joints,
                                          .observation_size = raw.observation_size,
                                          .action_size = raw.action_size,
                                          .control_period = absl::Nanoseconds(raw.control_period_ns),
                                          .acts_by_mean = raw.acts_by_mean != 0,
                                          .start_time = absl::FromUnixNanos(raw.start_time_ns)},
                               .num_slots = raw.num_slots};
  for (int i = 0; i < raw.num_joints; ++i) {
    decoded.header.limits.push_back(DecodeLimits(raw.limits[i]));
  }
  return decoded;
}

}  // namespace demorl
