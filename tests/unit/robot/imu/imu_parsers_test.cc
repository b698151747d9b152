#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_replace.h"
#include "common/robot/drivers/imu/rotation.h"
#include "common/robot/drivers/imu/rvc_imu.h"
#include "common/robot/drivers/imu/rvc_messages.h"
#include "common/robot/drivers/imu/vectornav_messages.h"
#include "common/robot/drivers/imu/xbus_messages.h"

namespace demorl {
namespace {

using ::testing::ElementsAre;
using ::testing::FloatNear;
using ::testing::Pointwise;

using Bytes = std::vector<uint8_t>;

Bytes Hex(absl::string_view text) {
  const std::string bytes = absl::HexStringToBytes(absl::StrReplaceAll(text, {{" ", ""}}));
  return {bytes.begin(), bytes.end()};
}

Bytes Text(absl::string_view text) { return {text.begin(), text.end()}; }

Bytes operator+(Bytes a, const Bytes& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

// Calls `handle` on what the parser finds in `bytes`, fed in pieces of `piece`.
template <typename Message, typename Parser, typename Handle>
void Feed(Parser& parser, std::span<const uint8_t> bytes, size_t piece, Handle handle) {
  while (!bytes.empty()) {
    const std::span<uint8_t> space = parser.window().FreeSpace();
    const size_t count = std::min({piece, space.size(), bytes.size()});
    ASSERT_GT(count, 0);
    std::copy_n(bytes.begin(), count, space.begin());
    parser.window().Commit(count);
    bytes = bytes.subspan(count);
    for (Message message; parser.Next(message);) {
      handle(message);
    }
  }
}

// The items of a sample that an MTi-300 sent, lying on its side (recorded by the project
// xsens-mti: q 0.710 0.695 -0.078 -0.083, a -0.056 9.815 0.218 m/s^2), among others.
const char kMtiItems[] =
    "10 20 02 91 8D 10 60 04 01 36 3F A6 20 10 10 3F 35 E0 42 3F 31 CD 15 BD 9F 49 DB BD A9 38 CF 40 20 0C "
    "BD "
    "63 5A 90 41 1D 08 D4 3E 5F AA 50 40 10 0C B9 11 68 00 3C C9 01 00 3A 0F 7D 00 80 20 0C 3C AE A2 41 BB "
    "56 "
    "D8 00 BA D5 AC 01 E0 20 04 00 40 00 03";
const char kRvcMessage[] = "AA AA DE 01 00 92 FF 25 08 8D FE EC FF D1 03 00 00 00 E7";
// The example of yaw, pitch and roll in the VN-100's manual.
const char kVnYawPitchRoll[] = "FA 01 08 00 93 50 2E 42 83 3E F1 3F 48 B5 04 BB 92 88";

Bytes Xbus(uint8_t id, const Bytes& data) {
  Bytes bytes;
  AppendXbusMessage(id, data, bytes);
  return bytes;
}

// The specific force of a body at rest, in its own frame, in g.
std::array<double, 3> Gravity(const Quaternion& orientation) {
  const auto matrix = Matrix(orientation);
  return matrix[2];
}

TEST(XbusTest, EncodesTheManualsCommands) {
  EXPECT_EQ(Xbus(0x30, {}), Hex("FA FF 30 00 D1"));
  EXPECT_EQ(Xbus(0x10, {}), Hex("FA FF 10 00 F1"));
}

TEST(XbusTest, ReadsARecordedSampleWhoseGravityAgreesWithItsOrientation) {
  std::optional<XbusSample> sample = ParseMtData2(Hex(kMtiItems));
  ASSERT_TRUE(sample.has_value());
  EXPECT_EQ(sample->packet_counter, 37261);
  ASSERT_TRUE(sample->quaternion && sample->acceleration_m_s2 && sample->rate_of_turn_rad_s);
  EXPECT_THAT(*sample->quaternion,
              Pointwise(FloatNear(1e-6), {0.71045315, 0.69453555, -0.07777759, -0.08262789}));
  EXPECT_THAT(*sample->acceleration_m_s2, Pointwise(FloatNear(1e-6), {-0.05550629, 9.81465530, 0.21842313}));
  EXPECT_THAT(*sample->rate_of_turn_rad_s,
              Pointwise(FloatNear(1e-6), {0.02131760, -0.00327826, -0.00163019}));
  const auto gravity = Gravity(*sample->quaternion);
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_NEAR((*sample->acceleration_m_s2)[i], 9.81 * gravity[i], 0.03);
  }
}

TEST(XbusTest, FindsMessagesInAnySplit) {
  const Bytes items = Hex(kMtiItems);
  const Bytes extended_body = Hex("FF 36 FF") + Bytes{0, static_cast<uint8_t>(items.size())} + items;
  uint8_t sum = 0;
  for (const uint8_t byte : extended_body) {
    sum += byte;
  }
  const Bytes extended = Bytes{0xfa} + extended_body + Bytes{static_cast<uint8_t>(-sum)};
  const Bytes stream = Hex("FA FF 31 00 D0") + Xbus(0x36, items) + extended + Hex("FA FF 11 00 F0");
  for (size_t piece = 1; piece <= stream.size(); ++piece) {
    XbusParser parser;
    std::vector<std::pair<int, size_t>> found;
    Feed<XbusMessage>(parser, stream, piece,
                      [&](const XbusMessage& m) { found.emplace_back(m.id, m.data.size()); });
    EXPECT_THAT(found, ElementsAre(std::pair(0x31, 0), std::pair(0x36, items.size()),
                                   std::pair(0x36, items.size()), std::pair(0x11, 0)))
        << "in pieces of " << piece;
    EXPECT_EQ(parser.window().skipped_bytes(), 0);
  }
}

TEST(XbusTest, GoesOnAfterGarbageAndWrongChecksums) {
  Bytes corrupt = Xbus(0x36, Hex(kMtiItems));
  corrupt[20] ^= 0x10;
  // Garbage ends in what looks like a header that announces 200 bytes.
  const Bytes stream = Hex("17 FA 00 FF") + corrupt + Hex("FA FF 36 C8") + Xbus(0x36, Hex(kMtiItems)) +
                       Bytes(200, 0) + Xbus(0x31, {});
  XbusParser parser;
  std::vector<int> found;
  Feed<XbusMessage>(parser, stream, 7, [&](const XbusMessage& m) { found.push_back(m.id); });
  EXPECT_THAT(found, ElementsAre(0x36, 0x31));
  EXPECT_EQ(parser.bad_messages(), 2);
  EXPECT_EQ(parser.window().skipped_bytes(), 4 + corrupt.size() + 4 + 200);
}

TEST(XbusTest, RefusesItemsThatDoNotFillTheMessageOrHaveAnotherFormat) {
  EXPECT_FALSE(ParseMtData2(Hex("10 20 02 00")).has_value());
  EXPECT_FALSE(ParseMtData2(Hex("10 20")).has_value());
  EXPECT_FALSE(ParseMtData2(Hex("10 20 03 00 00 00")).has_value());
  // A quaternion as float64, and one in the north-east-down frame.
  EXPECT_FALSE(ParseMtData2(Hex("20 13 20") + Bytes(32, 0)).has_value());
  EXPECT_FALSE(ParseMtData2(Hex("20 14 10") + Bytes(16, 0)).has_value());
  const std::optional<XbusSample> only_unknown = ParseMtData2(Hex("30 10 04 00 01 86 DE"));
  ASSERT_TRUE(only_unknown.has_value());
  EXPECT_FALSE(only_unknown->quaternion.has_value());
}

TEST(VectorNavTest, ComputesTheManualsChecksums) {
  EXPECT_EQ(VectorNavText("VNWRG,06,14"), "$VNWRG,06,14*59\r\n");
  EXPECT_EQ(VectorNavText("VNWRG,07,50"), "$VNWRG,07,50*58\r\n");
  EXPECT_EQ(VectorNavText("VNWRG,75,0,4,01,0128"), "$VNWRG,75,0,4,01,0128*7A\r\n");
  EXPECT_EQ(VectorNavText("VNWRG,75,0,4,01,0101"), "$VNWRG,75,0,4,01,0101*71\r\n");
  EXPECT_EQ(VectorNavCrc(Text("123456789")), 0x31c3);
}

TEST(VectorNavTest, FindsTextAndBinaryInAnySplit) {
  // Both checksums of text, one in lower case, and the mark for none.
  const Bytes stream = Text("$VNWRG,75,0,4,01,0128*7a\r\n") + Hex(kVnYawPitchRoll) +
                       Text("$VNRRG,08*XX\r\n$123456789*31C3\r\n") + Hex(kVnYawPitchRoll);
  for (size_t piece = 1; piece <= stream.size(); ++piece) {
    VectorNavParser parser;
    std::vector<std::string> found;
    Feed<VectorNavMessage>(parser, stream, piece, [&](const VectorNavMessage& m) {
      found.push_back(m.text.empty() ? absl::StrCat(m.fields, ":", m.payload.size())
                                     : absl::StrCat(m.text, m.has_checksum ? "" : " unchecked"));
    });
    EXPECT_THAT(found, ElementsAre("VNWRG,75,0,4,01,0128", "8:12", "VNRRG,08 unchecked", "123456789", "8:12"))
        << "in pieces of " << piece;
    EXPECT_EQ(parser.window().skipped_bytes(), 0);
  }
}

TEST(VectorNavTest, GoesOnAfterGarbageAndWrongChecksums) {
  Bytes corrupt = Hex(kVnYawPitchRoll);
  corrupt[6] ^= 0x01;
  const Bytes stream = Text("VN$$\x01") + corrupt + Text("$VNERR,03*71\r\n$VNERR,03*72\r\n$\r\n$*00\r\n") +
                       Hex("FA 02 FA 01 00 00 FA 01 00 80") + Hex(kVnYawPitchRoll);
  VectorNavParser parser;
  std::vector<std::string> found;
  Feed<VectorNavMessage>(parser, stream, 5, [&](const VectorNavMessage& m) {
    found.push_back(m.text.empty() ? "binary" : std::string(m.text));
  });
  EXPECT_THAT(found, ElementsAre("VNERR,03", "binary"));
  EXPECT_EQ(parser.bad_messages(), 2);
}

TEST(VectorNavTest, GoesOnAfterTextThatNeverEnds) {
  const Bytes stream = Bytes(5000, 'a') + Text("$") + Bytes(5000, 'b') + Hex(kVnYawPitchRoll);
  VectorNavParser parser;
  int found = 0;
  Feed<VectorNavMessage>(parser, stream, 100, [&](const VectorNavMessage&) { ++found; });
  EXPECT_EQ(found, 1);
}

TEST(RvcTest, ReadsARecordedSampleInAnySplit) {
  const Bytes stream = Hex(kRvcMessage) + Hex(kRvcMessage) + Hex(kRvcMessage);
  for (size_t piece = 1; piece <= stream.size(); ++piece) {
    RvcParser parser;
    int found = 0;
    Feed<RvcMessage>(parser, stream, piece, [&](const RvcMessage& m) {
      ++found;
      EXPECT_EQ(m.index, 0xde);
      EXPECT_THAT((std::array{m.yaw, m.pitch, m.roll}), ElementsAre(1, -110, 2085));
      EXPECT_THAT(m.acceleration, ElementsAre(-371, -20, 977));
    });
    EXPECT_EQ(found, 3) << "in pieces of " << piece;
    EXPECT_EQ(parser.window().skipped_bytes(), 0);
  }
}

TEST(RvcTest, WritesWhatItReads) {
  RvcMessage message{.index = 0xde, .yaw = 1, .pitch = -110, .roll = 2085, .acceleration = {-371, -20, 977}};
  Bytes bytes;
  AppendRvcMessage(message, bytes);
  EXPECT_EQ(bytes, Hex(kRvcMessage));
}

// Of the two ways to give pitch and roll their axes, only this one explains the recorded gravity at all; with
// pitch after roll, y would be off by more than a digit (0.001 g). Yaw, which is 0 here, comes first as in
// the data sheet.
TEST(RvcTest, OrientationExplainsTheRecordedGravity) {
  const RvcMessage message{.yaw = 1, .pitch = -110, .roll = 2085};
  const auto gravity = Gravity(RvcOrientation(message));
  const double length = std::sqrt(371.0 * 371 + 20 * 20 + 977 * 977);
  EXPECT_NEAR(gravity[0], -371 / length, 0.001);
  EXPECT_NEAR(gravity[1], -20 / length, 0.0005);
  EXPECT_NEAR(gravity[2], 977 / length, 0.0005);
}

TEST(RvcTest, GoesOnAfterGarbageAndWrongChecksums) {
  Bytes corrupt = Hex(kRvcMessage);
  corrupt[9] ^= 0x20;
  const Bytes stream = Hex("00 AA 01 AA AA") + corrupt + Hex("AA") + Hex(kRvcMessage) + Hex(kRvcMessage);
  RvcParser parser;
  int found = 0;
  Feed<RvcMessage>(parser, stream, 4, [&](const RvcMessage&) { ++found; });
  EXPECT_EQ(found, 2);
  EXPECT_GE(parser.bad_messages(), 1);
  EXPECT_EQ(parser.window().skipped_bytes(), stream.size() - 2 * kRvcMessageBytes);
}

TEST(RotationTest, RotationVectorInvertsAboutAxis) {
  for (const double angle : {-3.1, -0.5, -1e-9, 0.0, 1e-7, 0.02, 1.0, 3.1}) {
    const auto vector = RotationVector(AboutAxis(Axis::kY, angle));
    EXPECT_NEAR(vector[0], 0, 1e-12);
    EXPECT_NEAR(vector[1], angle, 1e-12);
  }
  // The longer way round comes back as the shorter one.
  EXPECT_NEAR(RotationVector(AboutAxis(Axis::kZ, 4))[2], 4 - 2 * std::numbers::pi, 1e-12);
}

}  // namespace
}  // namespace demorl
