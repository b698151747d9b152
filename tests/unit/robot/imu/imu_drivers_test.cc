// The drivers against the emulators over a wire in made-up time; one suite for all devices, then what each
// has of its own.
#include <gmock/gmock.h>

#include <cmath>
#include <cstring>
#include <memory>
#include <numbers>
#include <string>

#include "common/robot/drivers/imu/rotation.h"
#include "common/robot/drivers/imu/rvc_emulator.h"
#include "common/robot/drivers/imu/rvc_imu.h"
#include "common/robot/drivers/imu/vectornav_emulator.h"
#include "common/robot/drivers/imu/vectornav_imu.h"
#include "common/robot/drivers/imu/xsens_emulator.h"
#include "common/robot/drivers/imu/xsens_imu.h"
#include "tests/testing/counting_allocator.h"
#include "tests/testing/status_matchers.h"
#include "tests/unit/robot/imu/fake_wire.h"

namespace demorl {
namespace {

using ::demorl::testing::StatusIs;
using ::testing::AllOf;
using ::testing::DoubleNear;
using ::testing::Each;
using ::testing::HasSubstr;
using ::testing::Pointwise;

constexpr std::array<double, 3> kRate = {0.6, -1.1, 0.9};  // rad/s, in the body's frame

// A body that turns at kRate from a tilted start, its centre at rest.
ImuMotion Turning(absl::Duration now) {
  const double speed = std::hypot(kRate[0], kRate[1], kRate[2]);
  const double half = speed * absl::ToDoubleSeconds(now) / 2;
  const Quaternion turned = {std::cos(half), std::sin(half) * kRate[0] / speed,
                             std::sin(half) * kRate[1] / speed, std::sin(half) * kRate[2] / speed};
  ImuMotion motion{.orientation = Product(AboutAxis(Axis::kY, 0.4), turned), .angular_velocity_rad_s = kRate};
  const auto up = Matrix(motion.orientation)[2];
  motion.acceleration_m_s2 = {9.81 * up[0], 9.81 * up[1], 9.81 * up[2]};
  return motion;
}

struct Device {
  std::string name;
  absl::Duration period;
  // Of the wire's resolution.
  double angle_tolerance, rate_tolerance, acceleration_tolerance;
  std::function<std::unique_ptr<DeviceEmulator>(ImuSource)> make_emulator;
  std::function<std::unique_ptr<Imu>(std::unique_ptr<ByteStream>, const Clock*)> make_driver;
};

const Device kXsens = {"Xsens",
                       absl::Milliseconds(10),
                       1e-6,
                       1e-6,
                       1e-5,
                       [](ImuSource source) {
                         return std::make_unique<XsensEmulator>(XsensEmulatorOptions{}, std::move(source));
                       },
                       [](std::unique_ptr<ByteStream> stream, const Clock* clock) {
                         return std::make_unique<XsensImu>(XsensOptions{}, std::move(stream), clock);
                       }};
const Device kVectorNav = {
    "VectorNav",
    absl::Milliseconds(5),
    1e-6,
    1e-6,
    1e-5,
    [](ImuSource source) {
      return std::make_unique<VectorNavEmulator>(VectorNavEmulatorOptions{}, std::move(source));
    },
    [](std::unique_ptr<ByteStream> stream, const Clock* clock) {
      return std::make_unique<VectorNavImu>(VectorNavOptions{}, std::move(stream), clock);
    }};
// 0.01 degree a step; over 10 ms that is 1 degree/s, and both ends round.
const Device kRvc = {"Rvc",
                     absl::Milliseconds(10),
                     2e-4,
                     0.04,
                     0.006,
                     [](ImuSource source) { return std::make_unique<RvcEmulator>(std::move(source)); },
                     [](std::unique_ptr<ByteStream> stream, const Clock* clock) {
                       return std::make_unique<RvcImu>(std::move(stream), clock);
                     }};

class ImuTest : public ::testing::TestWithParam<Device> {
 protected:
  void Connect(const Device& emulated) {
    emulator_ = emulated.make_emulator([this](absl::Duration now) {
      felt_ = Turning(now);
      return felt_;
    });
    wire_ = std::make_unique<FakeWire>(emulator_.get());
    imu_ = GetParam().make_driver(std::make_unique<FakeWire::Stream>(wire_.get()), wire_.get());
  }

  void Start() {
    Connect(GetParam());
    ASSERT_OK(imu_->Start());
    // What Start has not read yet.
    ImuSample sample;
    imu_->Poll(sample);
  }

  // The wire works for so many of the device's samples.
  void Advance(int num_samples) { wire_->Advance(num_samples * GetParam().period); }

  std::unique_ptr<DeviceEmulator> emulator_;
  ImuMotion felt_;
  std::unique_ptr<FakeWire> wire_;
  std::unique_ptr<Imu> imu_;
};

INSTANTIATE_TEST_SUITE_P(AllDevices, ImuTest, ::testing::Values(kXsens, kVectorNav, kRvc),
                         [](const auto& info) { return info.param.name; });

TEST_P(ImuTest, ReportsWhatTheBodyFeels) {
  Start();
  for (int i = 0; i < 200; ++i) {
    Advance(1);
    ImuSample sample;
    ASSERT_TRUE(imu_->Poll(sample)) << "sample " << i;
    // As an angle, because q and -q are the same.
    const auto error = RotationVector(Product(Inverse(felt_.orientation), sample.orientation));
    EXPECT_THAT(error, Each(DoubleNear(0, GetParam().angle_tolerance)));
    EXPECT_THAT(sample.angular_velocity_rad_s, Pointwise(DoubleNear(GetParam().rate_tolerance), kRate));
    EXPECT_THAT(sample.acceleration_m_s2,
                Pointwise(DoubleNear(GetParam().acceleration_tolerance), felt_.acceleration_m_s2));
    EXPECT_EQ(sample.time, wire_->Now());
    EXPECT_FALSE(imu_->Poll(sample)) << "the same sample twice";
  }
  EXPECT_EQ(imu_->counters().missed_samples, 0);
  EXPECT_EQ(imu_->counters().bad_messages, 0);
}

TEST_P(ImuTest, TakesAnySplitOfTheBytes) {
  Connect(GetParam());
  wire_->max_piece = 1;
  ASSERT_OK(imu_->Start());
  uint64_t started = imu_->counters().samples;
  ImuSample sample;
  for (int i = 0; i < 20; ++i) {
    Advance(1);
    for (int polls = 0; polls < 40; ++polls) {
      imu_->Poll(sample);
    }
  }
  EXPECT_EQ(imu_->counters().samples - started, 20);
}

TEST_P(ImuTest, KeepsTheNewestOfSeveralSamples) {
  Start();
  ImuSample first, last;
  Advance(1);
  ASSERT_TRUE(imu_->Poll(first));
  Advance(5);
  ASSERT_TRUE(imu_->Poll(last));
  EXPECT_EQ(last.sequence, first.sequence + 5);
  const auto error = RotationVector(Product(Inverse(felt_.orientation), last.orientation));
  EXPECT_THAT(error, Each(DoubleNear(0, GetParam().angle_tolerance)));
}

TEST_P(ImuTest, CountsLostSamplesByTheDevicesCounter) {
  Start();
  ImuSample sample;
  Advance(3);
  ASSERT_TRUE(imu_->Poll(sample));
  const uint32_t before = sample.sequence;
  wire_->tamper = [](std::vector<uint8_t>& bytes) { bytes.clear(); };
  Advance(7);
  EXPECT_FALSE(imu_->Poll(sample));
  wire_->tamper = [](std::vector<uint8_t>&) {};
  Advance(1);
  ASSERT_TRUE(imu_->Poll(sample));
  EXPECT_EQ(imu_->counters().missed_samples, 7);
  EXPECT_EQ(sample.sequence, before + 8);
  EXPECT_THAT(sample.angular_velocity_rad_s, Pointwise(DoubleNear(GetParam().rate_tolerance), kRate));
}

TEST_P(ImuTest, CountsOnOverTheWrapOfTheDevicesCounter) {
  Start();
  ImuSample sample;
  Advance(1);
  ASSERT_TRUE(imu_->Poll(sample));
  const uint32_t before = sample.sequence;
  constexpr int kSamples = 70'000;  // past both 2^8 and 2^16
  for (int i = 0; i < kSamples; i += 10) {
    Advance(10);
    imu_->Poll(sample);
  }
  EXPECT_EQ(sample.sequence, before + kSamples);
  EXPECT_EQ(imu_->counters().missed_samples, 0);
}

TEST_P(ImuTest, DropsCorruptedSamplesAndCountsThem) {
  Start();
  int num_sent = 0;
  wire_->tamper = [&](std::vector<uint8_t>& bytes) {
    if (++num_sent % 10 == 0) {
      bytes[bytes.size() / 2] ^= 0x04;
    }
  };
  ImuSample sample;
  const ImuCounters before = imu_->counters();
  for (int i = 0; i < 95; ++i) {
    Advance(1);
    if (imu_->Poll(sample)) {
      const auto error = RotationVector(Product(Inverse(felt_.orientation), sample.orientation));
      ASSERT_THAT(error, Each(DoubleNear(0, GetParam().angle_tolerance)));
    }
  }
  EXPECT_EQ(imu_->counters().samples - before.samples, 86);
  EXPECT_EQ(imu_->counters().missed_samples, 9);
  EXPECT_GE(imu_->counters().bad_messages, 9);
}

TEST_P(ImuTest, FindsSamplesAmongNoise) {
  Start();
  wire_->tamper = [](std::vector<uint8_t>& bytes) {
    static constexpr uint8_t kNoise[] = {0xfa, 0xff, 0x00, '$', 0xaa, 0x36, 0xfa, 0x01};
    bytes.insert(bytes.begin(), std::begin(kNoise), std::end(kNoise));
  };
  ImuSample sample;
  const uint64_t before = imu_->counters().samples;
  Advance(100);
  ASSERT_TRUE(imu_->Poll(sample));
  EXPECT_GE(imu_->counters().samples - before, 98);
  EXPECT_GE(imu_->counters().skipped_bytes, 8 * 98);
}

TEST_P(ImuTest, TakesADuplicateForNoNewSample) {
  Start();
  wire_->tamper = [](std::vector<uint8_t>& bytes) {
    const std::vector<uint8_t> copy = bytes;
    bytes.insert(bytes.end(), copy.begin(), copy.end());
  };
  ImuSample sample;
  const uint64_t before = imu_->counters().samples;
  Advance(50);
  ASSERT_TRUE(imu_->Poll(sample));
  EXPECT_EQ(imu_->counters().samples - before, 50);
  EXPECT_EQ(imu_->counters().missed_samples, 0);
}

TEST_P(ImuTest, FindsAStuckDeviceSilent) {
  Connect(GetParam());
  wire_->tamper = [](std::vector<uint8_t>& bytes) { bytes.clear(); };
  const absl::Duration before = wire_->Now();
  EXPECT_THAT(imu_->Start(), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("silent")));
  EXPECT_LE(wire_->Now() - before, absl::Seconds(2.1));
}

TEST_P(ImuTest, SaysWhatAnotherDeviceSends) {
  for (const Device& other : {kXsens, kVectorNav, kRvc}) {
    if (other.name != GetParam().name) {
      Connect(other);
      EXPECT_THAT(imu_->Start(), StatusIs(absl::StatusCode::kFailedPrecondition,
                                          AllOf(HasSubstr("bytes without a message of"),
                                                HasSubstr("they begin"), HasSubstr("baud rate"))))
          << "on the wire of " << other.name;
    }
  }
}

TEST_P(ImuTest, FindsAnUnpluggedDeviceGone) {
  Start();
  ImuSample sample;
  Advance(1);
  ASSERT_TRUE(imu_->Poll(sample));
  wire_->closed = true;
  Advance(1);
  EXPECT_FALSE(imu_->Poll(sample));
  EXPECT_THAT(imu_->Start(), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("plugged in")));
}

TEST_P(ImuTest, PollAllocatesNothing) {
  if (!CountsAllocations()) {
    GTEST_SKIP() << "the sanitizer has its own allocator";
  }
  Start();
  Advance(20);
  const std::vector<uint8_t> noise(1500, 0xfa);
  wire_->Inject(noise);
  // The wire allocates; a copy of what is on it does not.
  ImuSample sample;
  bool found = false;
  const int64_t before = NumAllocations();
  found = imu_->Poll(sample);
  const int64_t after = NumAllocations();
  EXPECT_TRUE(found);
  EXPECT_EQ(after - before, 0);
}

TEST_P(ImuTest, StartsAgainAfterTheDeviceWasSetUp) {
  Start();
  Advance(10);
  ASSERT_OK(imu_->Start());
  ImuSample sample;
  Advance(2);
  EXPECT_TRUE(imu_->Poll(sample));
}

class CommandsTest : public ImuTest {};
INSTANTIATE_TEST_SUITE_P(DevicesThatListen, CommandsTest, ::testing::Values(kXsens, kVectorNav),
                         [](const auto& info) { return info.param.name; });

TEST_P(CommandsTest, SendsALostCommandAgain) {
  Connect(GetParam());
  int num_sent = 0;
  wire_->tamper_commands = [&](std::vector<uint8_t>& bytes) {
    if (++num_sent % 2 == 1) {
      bytes.clear();
    }
  };
  EXPECT_OK(imu_->Start());
  EXPECT_GT(num_sent, 2);
}

TEST_P(CommandsTest, SaysThatTheDeviceDoesNotListen) {
  Connect(GetParam());
  wire_->tamper_commands = [](std::vector<uint8_t>& bytes) { bytes.clear(); };
  EXPECT_THAT(imu_->Start(), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("though it speaks")));
}

TEST(XsensImuTest, RefusesARateThatTheDeviceLacks) {
  XsensEmulator emulator({}, Turning);
  FakeWire wire(&emulator);
  XsensImu imu({.rate_hz = 300}, std::make_unique<FakeWire::Stream>(&wire), &wire);
  EXPECT_THAT(imu.Start(), StatusIs(absl::StatusCode::kFailedPrecondition,
                                    HasSubstr("asked for quaternion at 300 Hz, the IMU set 200 Hz")));
  XsensImu zero({.rate_hz = 0}, std::make_unique<FakeWire::Stream>(&wire), &wire);
  EXPECT_THAT(zero.Start(), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("rate_hz = 0")));
}

TEST(XsensImuTest, SamplesComeAtTheChosenRateInTheSizeThatIsStated) {
  XsensEmulator emulator({}, Turning);
  FakeWire wire(&emulator);
  XsensImu imu({.rate_hz = 400}, std::make_unique<FakeWire::Stream>(&wire), &wire);
  ASSERT_OK(imu.Start());
  size_t bytes_sent = 0;
  wire.tamper = [&](std::vector<uint8_t>& bytes) { bytes_sent += bytes.size(); };
  wire.Advance(absl::Seconds(1));
  EXPECT_EQ(bytes_sent, 400 * kXsensSampleBytes);
}

TEST(VectorNavImuTest, SaysThatTheBaudRateIsTooLow) {
  VectorNavEmulator emulator({.baud_rate = 115200}, Turning);
  FakeWire wire(&emulator);
  VectorNavImu imu({.rate_hz = 400}, std::make_unique<FakeWire::Stream>(&wire), &wire);
  EXPECT_THAT(imu.Start(), StatusIs(absl::StatusCode::kFailedPrecondition,
                                    HasSubstr("error 0C (insufficient baud rate)")));
}

TEST(VectorNavImuTest, RefusesOptionsThatTheDeviceLacks) {
  FakeWire wire(nullptr);
  VectorNavImu rate({.rate_hz = 300}, std::make_unique<FakeWire::Stream>(&wire), &wire);
  EXPECT_THAT(rate.Start(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("want a whole part of 800")));
  VectorNavImu port({.serial_port = 3}, std::make_unique<FakeWire::Stream>(&wire), &wire);
  EXPECT_THAT(port.Start(), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("serial_port = 3")));
}

// What the device's manual says of its angles: heading clockwise from north, pitch up, roll to the right.
TEST(VectorNavImuTest, ConvertsHeadingAndPitch) {
  FakeWire wire(nullptr);
  VectorNavImu imu({}, std::make_unique<FakeWire::Stream>(&wire), &wire);
  const auto poll = [&](std::array<float, 4> quaternion_xyzw, uint64_t time_ns) {
    std::vector<uint8_t> payload(8 + 4 * (4 + 3 + 3));
    const std::array<float, 3> rate = {0.1f, 0.2f, 0.3f}, acceleration = {0.5f, 0.25f, -9.75f};
    std::memcpy(payload.data(), &time_ns, 8);
    std::memcpy(payload.data() + 8, quaternion_xyzw.data(), 16);
    std::memcpy(payload.data() + 24, rate.data(), 12);
    std::memcpy(payload.data() + 36, acceleration.data(), 12);
    std::vector<uint8_t> bytes;
    AppendVectorNavBinary(kVnSampleFields, payload, bytes);
    wire.Inject(bytes);
    ImuSample sample;
    EXPECT_TRUE(imu.Poll(sample));
    return sample;
  };
  const float half_root = std::sqrt(0.5f);
  const ImuSample east = poll({0, 0, half_root, half_root}, 1);
  // Column x of the matrix: the direction in which the body looks. East is -y of north, west, up.
  const auto facing_east = Matrix(east.orientation);
  EXPECT_NEAR(facing_east[1][0], -1, 1e-6);
  EXPECT_THAT(east.angular_velocity_rad_s, Pointwise(DoubleNear(1e-6), {0.1, -0.2, -0.3}));
  EXPECT_THAT(east.acceleration_m_s2, Pointwise(DoubleNear(1e-6), {0.5, -0.25, 9.75}));
  const float sixth = static_cast<float>(std::numbers::pi / 12);
  const auto nose_up = Matrix(poll({0, std::sin(sixth), 0, std::cos(sixth)}, 2).orientation);
  EXPECT_NEAR(nose_up[2][0], 0.5, 1e-6);
  const auto rolled_right = Matrix(poll({std::sin(sixth), 0, 0, std::cos(sixth)}, 3).orientation);
  EXPECT_NEAR(rolled_right[2][1], 0.5, 1e-6) << "the left side goes up";
}

TEST(RvcImuTest, WithholdsTheSampleAfterALongSilence) {
  RvcEmulator emulator(Turning);
  FakeWire wire(&emulator);
  RvcImu imu(std::make_unique<FakeWire::Stream>(&wire), &wire);
  ASSERT_OK(imu.Start());
  wire.tamper = [](std::vector<uint8_t>& bytes) { bytes.clear(); };
  wire.Advance(absl::Seconds(2));
  wire.tamper = [](std::vector<uint8_t>&) {};
  ImuSample sample;
  wire.Advance(absl::Milliseconds(10));
  EXPECT_FALSE(imu.Poll(sample)) << "its rate would be a guess";
  wire.Advance(absl::Milliseconds(10));
  ASSERT_TRUE(imu.Poll(sample));
  EXPECT_THAT(sample.angular_velocity_rad_s, Pointwise(DoubleNear(0.04), kRate));
}

}  // namespace
}  // namespace demorl
