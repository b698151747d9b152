#include "common/robot/drivers/b3m/b3m_codec.h"

#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_replace.h"
#include "common/base/random.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace demorl::b3m {
namespace {

using ::testing::ElementsAreArray;

std::vector<uint8_t> FromHex(const std::string& text) {
  const std::string bytes = absl::HexStringToBytes(absl::StrReplaceAll(text, {{" ", ""}}));
  return {bytes.begin(), bytes.end()};
}

// What an encoder writes, as bytes.
template <typename Encode>
std::vector<uint8_t> Bytes(Encode encode) {
  std::vector<uint8_t> out(kMaxPacketBytes);
  out.resize(encode(std::span<uint8_t>(out)));
  return out;
}

struct Seen {
  uint8_t command, option, id;
  std::vector<uint8_t> data;
  bool operator==(const Seen&) const = default;
};

void Collect(Parser& parser, std::vector<Seen>& seen) {
  while (const std::optional<Packet> packet = parser.Next()) {
    const std::span<const uint8_t> data = packet->data();
    seen.push_back({packet->command, packet->option, packet->id(), {data.begin(), data.end()}});
  }
}

// The packets of the manual, and of the drivers that move this servo.
TEST(B3mCodecTest, EncodesTheKnownRequests) {
  const uint8_t free = 2, normal = 0;
  EXPECT_EQ(Bytes([&](auto out) {
              return EncodeWrite(1, kMode, {&free, 1}, out);
            }),
            FromHex("08 04 00 01 02 28 01 38"));
  EXPECT_EQ(Bytes([&](auto out) {
              return EncodeWrite(1, kMode, {&normal, 1}, out);
            }),
            FromHex("08 04 00 01 00 28 01 36"));
  EXPECT_EQ(Bytes([](auto out) { return EncodeRead(1, kPresentPosition, 2, out); }),
            FromHex("07 03 00 01 2C 02 39"));
  EXPECT_EQ(Bytes([](auto out) { return EncodePosition(1, 10'000, 0, out); }),
            FromHex("09 06 00 01 10 27 00 00 47"));
  EXPECT_EQ(Bytes([](auto out) { return EncodeReset(4, 2, out); }), FromHex("06 05 00 04 02 11"));
}

TEST(B3mCodecTest, WritesToSeveralServosInOnePacket) {
  const auto encode = [](std::span<uint8_t> out) {
    MultiWrite write(kTargetTorque, 2, out);
    write.Add(1, 1000);
    write.Add(2, -2);
    return write.Finish();
  };
  const std::vector<uint8_t> packet = Bytes(encode);
  EXPECT_EQ(packet, FromHex("0C 04 00 01 E8 03 02 FE FF 3C 02 39"));
  Parser parser;
  parser.Push(packet);
  const std::optional<Packet> parsed = parser.Next();
  ASSERT_TRUE(parsed.has_value());
  const std::optional<WriteView> view = ParseWrite(*parsed);
  ASSERT_TRUE(view.has_value());
  EXPECT_EQ(view->address, kTargetTorque);
  ASSERT_EQ(view->num_servos, 2);
  EXPECT_EQ(view->id(1), 2);
  EXPECT_EQ(LoadI16(view->value(0), 0), 1000);
  EXPECT_EQ(LoadI16(view->value(1), 0), -2);
}

TEST(B3mCodecTest, TwelveTorquesTakeFortyTwoBytes) {
  const auto encode = [](std::span<uint8_t> out) {
    MultiWrite write(kTargetTorque, 2, out);
    for (uint8_t id = 0; id < 12; ++id) {
      write.Add(id, 7);
    }
    return write.Finish();
  };
  EXPECT_EQ(Bytes(encode).size(), 42);
}

TEST(B3mCodecTest, EncodesNothingThatDoesNotFit) {
  std::vector<uint8_t> small(6);
  EXPECT_EQ(EncodeRead(1, 0, 1, small), 0);
  EXPECT_EQ(EncodeFreeAll(small), 0);
  const std::vector<uint8_t> long_data(kMaxPacketBytes);
  std::vector<uint8_t> large(1000);
  EXPECT_EQ(EncodeWrite(1, 0, long_data, large), 0);
  EXPECT_EQ(EncodeReply(Command::kRead, 0, 1, long_data, large), 0);
  MultiWrite write(kMode, 1, large);
  EXPECT_EQ(write.Finish(), 0);
  for (int id = 0; id < 125; ++id) {
    write.Add(static_cast<uint8_t>(id), 2);
  }
  EXPECT_EQ(write.Finish(), 0);
}

TEST(B3mCodecTest, FreesEveryServoByBroadcast) {
  EXPECT_EQ(Bytes([](auto out) { return EncodeFreeAll(out); }), FromHex("08 04 00 FF 02 28 01 36"));
}

TEST(B3mCodecTest, RefusesWritesWhoseSizesDisagree) {
  for (const char* hex : {"08 04 00 01 02 28 02 39", "07 04 00 01 28 01 35", "05 04 00 01 0A",
                          "0B 04 00 01 E8 03 02 FE 3C 02 39", "08 04 00 01 02 28 00 37"}) {
    Parser parser;
    parser.Push(FromHex(hex));
    const std::optional<Packet> packet = parser.Next();
    ASSERT_TRUE(packet.has_value()) << hex;
    EXPECT_FALSE(ParseWrite(*packet).has_value()) << hex;
  }
}

std::vector<uint8_t> ThreeReplies() {
  std::vector<uint8_t> stream;
  for (uint8_t id = 1; id <= 3; ++id) {
    const std::vector<uint8_t> data(id * 9, id);
    const std::vector<uint8_t> reply =
        Bytes([&](auto out) { return EncodeReply(Command::kRead, 0, id, data, out); });
    stream.insert(stream.end(), reply.begin(), reply.end());
  }
  return stream;
}

TEST(B3mCodecTest, ParsesAnySplitOfBytes) {
  const std::vector<uint8_t> stream = ThreeReplies();
  for (size_t piece = 1; piece <= stream.size(); ++piece) {
    Parser parser;
    std::vector<Seen> seen;
    for (size_t begin = 0; begin < stream.size(); begin += piece) {
      parser.Push(std::span(stream).subspan(begin, std::min(piece, stream.size() - begin)));
      Collect(parser, seen);
    }
    ASSERT_EQ(seen.size(), 3) << piece;
    EXPECT_EQ(seen[2], (Seen{0x83, 0, 3, std::vector<uint8_t>(27, 3)}));
    EXPECT_EQ(parser.skipped_bytes(), 0);
  }
}

TEST(B3mCodecTest, FindsThePacketsAfterGarbageOfEveryKind) {
  const std::vector<uint8_t> packets = ThreeReplies();
  Random random(7);
  for (int trial = 0; trial < 300; ++trial) {
    std::vector<uint8_t> stream(random.Index(80));
    for (uint8_t& byte : stream) {
      byte = static_cast<uint8_t>(random.NextUint64());
    }
    stream.insert(stream.end(), packets.begin(), packets.end());
    Parser parser;
    parser.Push(stream);
    std::vector<Seen> seen;
    Collect(parser, seen);
    while (const std::optional<Packet> packet = parser.Flush()) {
      const std::span<const uint8_t> data = packet->data();
      seen.push_back({packet->command, packet->option, packet->id(), {data.begin(), data.end()}});
    }
    // Noise can pass for a packet once in thousands of times; the last of three always comes through.
    ASSERT_FALSE(seen.empty());
    EXPECT_EQ(seen.back().id, 3) << trial;
  }
}

TEST(B3mCodecTest, LooksBehindAFalseStartOnlyWhenToldThatNothingMoreComes) {
  std::vector<uint8_t> stream = FromHex("FF 83");  // claims a packet of 255 bytes
  const std::vector<uint8_t> reply = FromHex("07 83 00 01 10 27 C2");
  stream.insert(stream.end(), reply.begin(), reply.end());
  Parser parser;
  parser.Push(stream);
  EXPECT_FALSE(parser.Next().has_value());
  const std::optional<Packet> packet = parser.Flush();
  ASSERT_TRUE(packet.has_value());
  EXPECT_THAT(packet->data(), ElementsAreArray(FromHex("10 27")));
  EXPECT_EQ(parser.skipped_bytes(), 2);
}

TEST(B3mCodecTest, EveryFlippedBitIsNoticed) {
  const std::vector<uint8_t> good = FromHex("07 83 00 01 10 27 C2");
  for (size_t bit = 0; bit < 8 * good.size(); ++bit) {
    std::vector<uint8_t> bad = good;
    bad[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
    Parser parser;
    parser.Push(bad);
    EXPECT_FALSE(parser.Flush().has_value()) << bit;
    EXPECT_EQ(parser.skipped_bytes(), bad.size());
  }
}

TEST(B3mCodecTest, KeepsTheNewestOfAFloodOfBytes) {
  Parser parser;
  for (int i = 0; i < 10; ++i) {
    parser.Push(std::vector<uint8_t>(700, 0));
  }
  parser.Push(std::vector<uint8_t>(5000, 0));
  parser.Push(FromHex("07 83 00 01 10 27 C2"));
  EXPECT_TRUE(parser.Flush().has_value());
  EXPECT_EQ(parser.skipped_bytes(), 12'000);
}

}  // namespace
}  // namespace demorl::b3m
