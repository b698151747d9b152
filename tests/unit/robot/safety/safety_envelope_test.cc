#include "common/robot/safety/safety_envelope.h"

#include <cmath>
#include <limits>

#include "common/base/random.h"
#include "gmock/gmock.h"
#include "tests/testing/status_matchers.h"

namespace demorl {
namespace {

using ::demorl::testing::StatusIs;

using ::testing::HasSubstr;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr absl::Duration kPeriod = absl::Milliseconds(2);

JointLimits Limits() {
  return {.joint_name = "hip",
          .minimum_position_rad = -1,
          .maximum_position_rad = 1,
          .soft_zone_rad = 0.2,
          .soft_zone_stiffness_nm_rad = 20,
          .maximum_velocity_rad_s = 10,
          .velocity_taper_share = 0.8,
          .maximum_torque_nm = 2,
          .maximum_torque_rate_nm_s = 1e6,
          .maximum_temperature_c = 80,
          .minimum_voltage_v = 10,
          .maximum_voltage_v = 30,
          .maximum_tracking_error_rad = 0.3,
          .safe_damping_nm_s_rad = 0.1,
          .hold_stiffness_nm_rad = 5};
}

JointMeasurement At(double position_rad, double velocity_rad_s = 0) {
  return {.fresh = true, .position_rad = position_rad, .velocity_rad_s = velocity_rad_s};
}

JointCommand Torque(double torque_nm) { return {.mode = ActuatorMode::kTorque, .torque_nm = torque_nm}; }

// The command that leaves an envelope of one joint.
JointCommand Applied(SafetyEnvelope& envelope, const JointMeasurement& measured, JointCommand command,
                     double torque_share = 1) {
  envelope.Apply({&measured, 1}, torque_share, {&command, 1});
  return command;
}

double AppliedTorque(JointLimits limits, const JointMeasurement& measured, double torque_nm) {
  SafetyEnvelope envelope({limits}, kPeriod);
  return Applied(envelope, measured, Torque(torque_nm)).torque_nm;
}

TEST(SafetyEnvelopeTest, LetsAHarmlessTorquePass) {
  SafetyEnvelope envelope({Limits()}, kPeriod);
  JointCommand command = Torque(1.5);
  const JointMeasurement measured = At(0.3, 2);
  const SafetyEnvelope::Clamps clamps = envelope.Apply({&measured, 1}, 1, {&command, 1});
  EXPECT_EQ(command.torque_nm, 1.5);
  EXPECT_EQ(clamps, SafetyEnvelope::Clamps{});
}

TEST(SafetyEnvelopeTest, BoundsTorque) {
  EXPECT_EQ(AppliedTorque(Limits(), At(0), 5), 2);
  EXPECT_EQ(AppliedTorque(Limits(), At(0), -5), -2);
}

TEST(SafetyEnvelopeTest, BoundsTheRateOfTorque) {
  JointLimits limits = Limits();
  limits.maximum_torque_rate_nm_s = 100;  // 0.2 N m per tick
  SafetyEnvelope envelope({limits}, kPeriod);
  EXPECT_NEAR(Applied(envelope, At(0), Torque(2)).torque_nm, 0.2, 1e-12);
  EXPECT_NEAR(Applied(envelope, At(0), Torque(2)).torque_nm, 0.4, 1e-12);
  envelope.ForgetTorques();
  EXPECT_NEAR(Applied(envelope, At(0), Torque(-2)).torque_nm, -0.2, 1e-12);
}

TEST(SafetyEnvelopeTest, TapersAcceleratingTorqueOnly) {
  EXPECT_EQ(AppliedTorque(Limits(), At(0, 9), 2), 1);
  EXPECT_EQ(AppliedTorque(Limits(), At(0, 10), 2), 0);
  EXPECT_EQ(AppliedTorque(Limits(), At(0, -9), -2), -1);
  EXPECT_EQ(AppliedTorque(Limits(), At(0, 9), -2), -2);
  EXPECT_EQ(AppliedTorque(Limits(), At(0, 7.9), 2), 2);
}

TEST(SafetyEnvelopeTest, ASpringPushesBackWithinTheSoftZone) {
  EXPECT_NEAR(AppliedTorque(Limits(), At(0.85), 0), -1, 1e-12);
  EXPECT_NEAR(AppliedTorque(Limits(), At(-0.85), 0), 1, 1e-12);
  EXPECT_EQ(AppliedTorque(Limits(), At(0.8), 0), 0);
  // At the limit the spring is stronger than all that a policy may ask.
  EXPECT_LT(AppliedTorque(Limits(), At(1), 2), 0);
}

TEST(SafetyEnvelopeTest, ANonFiniteCommandBecomesDamping) {
  for (const double bad : {kNan, std::numeric_limits<double>::infinity()}) {
    SafetyEnvelope envelope({Limits()}, kPeriod);
    const JointCommand command = Applied(envelope, At(0), Torque(bad));
    EXPECT_EQ(command.mode, ActuatorMode::kDamping);
    EXPECT_EQ(command.torque_nm, 0);
    EXPECT_EQ(command.damping_nm_s_rad, 0.1);
  }
}

TEST(SafetyEnvelopeTest, TargetPositionsStayInRange) {
  SafetyEnvelope envelope({Limits()}, kPeriod);
  const JointCommand command =
      Applied(envelope, At(0), {.mode = ActuatorMode::kPosition, .position_rad = 3, .stiffness_nm_rad = 4});
  EXPECT_EQ(command.position_rad, 1);
  EXPECT_EQ(command.max_torque_nm, 2);
}

TEST(SafetyEnvelopeTest, TheRampScalesTorqueAndGains) {
  SafetyEnvelope envelope({Limits()}, kPeriod);
  EXPECT_EQ(Applied(envelope, At(0), Torque(2), 0.25).torque_nm, 0.5);
  const JointCommand position = Applied(
      envelope, At(0), {.mode = ActuatorMode::kPosition, .stiffness_nm_rad = 4, .damping_nm_s_rad = 1}, 0.25);
  EXPECT_EQ(position.stiffness_nm_rad, 1);
  EXPECT_EQ(position.damping_nm_s_rad, 0.25);
  EXPECT_EQ(position.max_torque_nm, 0.5);
}

TEST(SafetyEnvelopeTest, CountsClampsByReason) {
  SafetyEnvelope envelope({Limits(), Limits()}, kPeriod);
  const std::array measured = {At(0), At(0.9)};
  std::array commands = {Torque(9), Torque(kNan)};
  const SafetyEnvelope::Clamps clamps = envelope.Apply(measured, 1, commands);
  EXPECT_EQ(clamps[static_cast<size_t>(Clamp::kTorque)], 1);
  EXPECT_EQ(clamps[static_cast<size_t>(Clamp::kNonFinite)], 1);
  EXPECT_EQ(clamps[static_cast<size_t>(Clamp::kSoftZone)], 0);
}

// Whatever comes in, a torque that leaves is finite and within torque and rate limits.
TEST(SafetyEnvelopeTest, NoInputGetsPastTheLimits) {
  JointLimits limits = Limits();
  limits.maximum_torque_rate_nm_s = 50;
  SafetyEnvelope envelope({limits}, kPeriod);
  Random random(1);
  double last_torque_nm = 0;
  for (int i = 0; i < 200'000; ++i) {
    const double share = random.Uniform();
    JointCommand command{.mode = static_cast<ActuatorMode>(random.Index(4)),
                         .position_rad = 10 * random.Normal(),
                         .velocity_rad_s = 100 * random.Normal(),
                         .torque_nm = random.Index(50) == 0 ? kNan : 100 * random.Normal(),
                         .stiffness_nm_rad = 100 * random.Normal(),
                         .damping_nm_s_rad = 10 * random.Normal()};
    const JointCommand applied =
        Applied(envelope, At(3 * random.Normal(), 20 * random.Normal()), command, share);
    ASSERT_TRUE(std::isfinite(applied.torque_nm));
    ASSERT_LE(std::abs(applied.torque_nm), 2 + 1e-12);
    ASSERT_GE(applied.stiffness_nm_rad, 0);
    ASSERT_GE(applied.damping_nm_s_rad, 0);
    ASSERT_LE(applied.max_torque_nm, 2 * share + 1e-12);
    const bool torque_acts = applied.mode == ActuatorMode::kTorque || applied.mode == ActuatorMode::kPosition;
    if (torque_acts) {
      ASSERT_LE(std::abs(applied.torque_nm - last_torque_nm), 50 * 0.002 + 1e-12);
    }
    last_torque_nm = applied.torque_nm;
  }
}

TEST(SafetyEnvelopeTest, JudgesMeasurements) {
  const SafetyEnvelope envelope({Limits(), Limits()}, kPeriod);
  const auto verdict = [&](JointMeasurement second) {
    const std::array measured = {At(0), second};
    return envelope.CheckMeasurements(measured);
  };
  EXPECT_EQ(verdict(At(0)).reason, StopReason::kNone);
  EXPECT_EQ(verdict(At(kNan)).reason, StopReason::kSensorsLost);
  EXPECT_EQ(verdict(At(0)).joint, -1);
  EXPECT_EQ(verdict(At(1.01)).reason, StopReason::kLimitExceeded);
  EXPECT_EQ(verdict(At(1.01)).joint, 1);
  EXPECT_EQ(verdict(At(0, -10.1)).reason, StopReason::kLimitExceeded);
  JointMeasurement sick = At(0);
  sick.temperature_c = 81;
  EXPECT_EQ(verdict(sick).reason, StopReason::kOverheated);
  sick = At(0);
  sick.voltage_v = 9;
  EXPECT_EQ(verdict(sick).reason, StopReason::kVoltageOutOfRange);
  sick = At(0);
  sick.fault = 33;
  EXPECT_EQ(verdict(sick).reason, StopReason::kDeviceFault);
}

TEST(SafetyEnvelopeTest, JudgesHowAPositionIsFollowed) {
  const SafetyEnvelope envelope({Limits()}, kPeriod);
  const JointCommand commanded{.mode = ActuatorMode::kPosition, .position_rad = 0.5};
  const JointMeasurement near = At(0.25), far = At(0.1);
  EXPECT_EQ(envelope.CheckTracking({&near, 1}, {&commanded, 1}).reason, StopReason::kNone);
  EXPECT_EQ(envelope.CheckTracking({&far, 1}, {&commanded, 1}).reason, StopReason::kTrackingError);
  const JointCommand torque = Torque(1);
  EXPECT_EQ(envelope.CheckTracking({&far, 1}, {&torque, 1}).reason, StopReason::kNone);
}

TEST(CheckLimitsTest, RefusesMissingLimitsByName) {
  const ActuatorInfo device{.id = 7, .model = "test"};
  JointLimits limits = Limits();
  EXPECT_OK(CheckLimits({&limits, 1}, {&device, 1}));
  limits.maximum_torque_nm = kNan;
  EXPECT_THAT(
      CheckLimits({&limits, 1}, {&device, 1}),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("joint hip: maximum_torque_nm is not set")));
  limits = Limits();
  limits.minimum_position_rad = kNan;
  EXPECT_THAT(CheckLimits({&limits, 1}, {&device, 1}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("finite range")));
}

TEST(CheckLimitsTest, RefusesLimitsBeyondTheDevices) {
  JointLimits limits = Limits();
  ActuatorInfo device{.id = 7, .model = "test", .max_torque_nm = 1.5};
  EXPECT_THAT(
      CheckLimits({&limits, 1}, {&device, 1}),
      StatusIs(absl::StatusCode::kFailedPrecondition,
               HasSubstr("maximum_torque_nm = 2 exceeds what its actuator allows (id 7, test): 1.5")));
  device = {.id = 7, .model = "test", .minimum_position_rad = -0.9};
  EXPECT_THAT(CheckLimits({&limits, 1}, {&device, 1}),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("minimum_position_rad")));
}

TEST(CheckLimitsTest, RefusesANumberOfJointsThatDiffersFromTheDevices) {
  const JointLimits limits = Limits();
  EXPECT_THAT(CheckLimits({&limits, 1}, {}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("0 actuators")));
}

}  // namespace
}  // namespace demorl
