#include "common/robot/drivers/dynamixel/dynamixel_codec.h"

#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_replace.h"
#include "common/base/random.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace demorl::dxl {
namespace {

using ::testing::ElementsAreArray;

using Bytes = std::vector<uint8_t>;

Bytes FromHex(const std::string& text) {
  const std::string bytes = absl::HexStringToBytes(absl::StrReplaceAll(text, {{" ", ""}}));
  return {bytes.begin(), bytes.end()};
}

template <typename Encode>
Bytes Encoded(Encode encode) {
  Bytes out(kMaxPacketBytes);
  out.resize(encode(std::span<uint8_t>(out)));
  return out;
}

Bytes Copy(std::span<const uint8_t> bytes) { return {bytes.begin(), bytes.end()}; }

// The e-Manual's examples.
TEST(DynamixelCodecTest, EncodesTheKnownPackets) {
  EXPECT_EQ(Encoded([](auto out) { return EncodePacket(1, Instruction::kPing, {}, out); }),
            FromHex("FFFFFD00 01 0300 01 194E"));
  EXPECT_EQ(Encoded([](auto out) { return EncodeRead(1, 132, 4, out); }),
            FromHex("FFFFFD00 01 0700 02 8400 0400 1D15"));
  const Bytes ids = {1, 2};
  EXPECT_EQ(Encoded([&](auto out) { return EncodeSyncRead(Instruction::kSyncRead, 132, 4, ids, out); }),
            FromHex("FFFFFD00 FE 0900 82 8400 0400 0102 CEFA"));
  EXPECT_EQ(Encoded([](auto out) { return EncodeStatus(1, 0, FromHex("A6000000"), out); }),
            FromHex("FFFFFD00 01 0800 55 00 A6000000 8CC0"));
}

TEST(DynamixelCodecTest, WritesToSeveralDevicesInOnePacket) {
  SyncWrite write(116, 4);
  write.Add(1, 150);
  write.Add(2, -2);
  const Bytes packet = Encoded([&](auto out) { return write.Encode(out); });
  Parser parser;
  parser.Push(packet);
  const std::optional<Packet> parsed = parser.Next();
  ASSERT_TRUE(parsed.has_value());
  EXPECT_EQ(parsed->id, kBroadcastId);
  EXPECT_THAT(parsed->parameters, ElementsAreArray(FromHex("7400 0400 01 96000000 02 FEFFFFFF")));
  EXPECT_EQ(SyncWrite(116, 4).Encode(std::span<uint8_t>()), 0);
}

TEST(DynamixelCodecTest, StuffsAndUnstuffsHeadersInParameters) {
  for (const char* hex :
       {"FFFFFD", "FFFFFDFD", "FFFFFDFFFFFD", "FFFFFFFD", "FFFD", "FFFFFD00FFFFFDFD01", "FDFFFFFD"}) {
    const Bytes data = FromHex(hex);
    const Bytes packet = Encoded([&](auto out) { return EncodeStatus(7, 0, data, out); });
    EXPECT_EQ(LoadU16(packet, 5), packet.size() - 7);
    // Nowhere behind the header does one begin again.
    for (size_t i = 5; i + 3 < packet.size(); ++i) {
      EXPECT_FALSE(packet[i] == 0xFF && packet[i + 1] == 0xFF && packet[i + 2] == 0xFD &&
                   packet[i + 3] != 0xFD);
    }
    Parser parser;
    parser.Push(packet);
    const std::optional<Packet> parsed = parser.Next();
    ASSERT_TRUE(parsed.has_value()) << hex;
    EXPECT_THAT(parsed->parameters.subspan(1), ElementsAreArray(data)) << hex;
  }
}

TEST(DynamixelCodecTest, StuffsRandomParametersBackAndForth) {
  Random random(5);
  constexpr uint8_t kBytes[] = {0xFF, 0xFF, 0xFD, 0x00};
  for (int trial = 0; trial < 2000; ++trial) {
    Bytes data(random.Index(40));
    for (uint8_t& byte : data) {
      byte = kBytes[random.Index(4)];
    }
    Parser parser;
    parser.Push(Encoded([&](auto out) { return EncodePacket(3, Instruction::kWrite, data, out); }));
    const std::optional<Packet> parsed = parser.Next();
    ASSERT_TRUE(parsed.has_value());
    EXPECT_EQ(Copy(parsed->parameters), data);
  }
}

TEST(DynamixelCodecTest, EncodesNothingThatDoesNotFit) {
  Bytes out(13);
  EXPECT_EQ(EncodeRead(1, 0, 1, out), 0);
  EXPECT_EQ(EncodePacket(1, Instruction::kWrite, FromHex("FFFFFD"), out), 0);  // with its stuffing
  EXPECT_EQ(EncodePacket(1, Instruction::kWrite, FromHex("FFFFFC"), out), 13);
  out.resize(2000);
  EXPECT_EQ(EncodeStatus(1, 0, Bytes(1020), out), 0);
  EXPECT_EQ(EncodeWrite(1, 0, Bytes(1020), out), 0);
  EXPECT_EQ(EncodeWrite(1, 0, Bytes(3000), out), 0);
  EXPECT_EQ(EncodeSyncRead(Instruction::kSyncRead, 0, 1, Bytes(254), out), 0);
  SyncWrite write(116, 4);
  for (int i = 0; i < 200; ++i) {
    write.Add(1, 0);
  }
  EXPECT_EQ(write.Encode(out), 0);
}

Bytes FastStatus(size_t num_present, size_t num_devices = 3) {
  Bytes out(200);
  FastStatusWriter writer(num_devices, 4 * num_devices, out);
  for (uint8_t id = 1; id <= num_present; ++id) {
    writer.Add(0, id, Bytes{0xFF, 0xFF, 0xFD, id});  // never stuffed
  }
  out.resize(writer.size());
  return out;
}

TEST(DynamixelCodecTest, EachBlockOfAFastStatusStandsOnItsOwn) {
  const Bytes packet = FastStatus(3);
  Parser parser;
  parser.Push(packet);
  const std::optional<Packet> parsed = parser.Next();
  ASSERT_TRUE(parsed.has_value());
  for (size_t i = 0; i < 3; ++i) {
    const std::optional<FastBlock> block = ReadFastBlock(parsed->raw, i, 4);
    ASSERT_TRUE(block.has_value());
    EXPECT_EQ(block->id, i + 1);
    EXPECT_EQ(block->data[3], i + 1);
  }
  EXPECT_FALSE(ReadFastBlock(parsed->raw, 3, 4).has_value());
}

TEST(DynamixelCodecTest, ABeginningOfAFastStatusGivesTheBlocksThatCame) {
  Parser parser;
  parser.Push(FastStatus(2));
  EXPECT_FALSE(parser.Next().has_value());
  EXPECT_TRUE(ReadFastBlock(parser.Unfinished(), 1, 4).has_value());
  EXPECT_FALSE(ReadFastBlock(parser.Unfinished(), 2, 4).has_value());
  Bytes damaged = FastStatus(2);
  damaged[10] ^= 1;
  EXPECT_FALSE(ReadFastBlock(damaged, 0, 4).has_value());
}

Bytes ThreeStatuses() {
  Bytes stream;
  for (uint8_t id = 1; id <= 3; ++id) {
    const Bytes status = Encoded([&](auto out) { return EncodeStatus(id, 0, Bytes(id * 5, 0xFF), out); });
    stream.insert(stream.end(), status.begin(), status.end());
  }
  return stream;
}

TEST(DynamixelCodecTest, ParsesAnySplitOfBytes) {
  const Bytes stream = ThreeStatuses();
  for (size_t piece = 1; piece <= stream.size(); ++piece) {
    Parser parser;
    std::vector<int> ids;
    for (size_t begin = 0; begin < stream.size(); begin += piece) {
      parser.Push(std::span(stream).subspan(begin, std::min(piece, stream.size() - begin)));
      while (const std::optional<Packet> packet = parser.Next()) {
        ids.push_back(packet->id);
      }
    }
    EXPECT_EQ(ids, (std::vector<int>{1, 2, 3})) << piece;
    EXPECT_EQ(parser.skipped_bytes(), 0);
  }
}

TEST(DynamixelCodecTest, FindsThePacketsAfterGarbageOfEveryKind) {
  Random random(7);
  constexpr uint8_t kBytes[] = {0xFF, 0xFF, 0xFD, 0x00, 0x01, 0x0A};
  for (int trial = 0; trial < 500; ++trial) {
    Bytes stream(random.Index(60));
    for (uint8_t& byte : stream) {
      byte = kBytes[random.Index(6)];
    }
    const size_t garbage = stream.size();
    const Bytes packets = ThreeStatuses();
    stream.insert(stream.end(), packets.begin(), packets.end());
    Parser parser;
    parser.Push(stream);
    int num_found = 0;
    while (parser.Flush()) {
      ++num_found;
    }
    EXPECT_EQ(num_found, 3);
    EXPECT_EQ(parser.skipped_bytes(), garbage);
  }
}

TEST(DynamixelCodecTest, EveryFlippedBitIsNoticed) {
  const Bytes good = FromHex("FFFFFD00 01 0800 55 00 A6000000 8CC0");
  for (size_t bit = 0; bit < 8 * good.size(); ++bit) {
    Bytes bad = good;
    bad[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
    Parser parser;
    parser.Push(bad);
    EXPECT_FALSE(parser.Flush().has_value()) << bit;
  }
}

TEST(DynamixelCodecTest, ShowsPacketsWithAWrongCrcOnlyToThoseWhoAsk) {
  Bytes packet = FromHex("FFFFFD00 01 0300 01 194F");
  for (const bool shows : {true, false}) {
    Parser parser(shows);
    parser.Push(packet);
    const std::optional<Packet> parsed = parser.Next();
    EXPECT_EQ(parsed.has_value(), shows);
    EXPECT_EQ(parser.num_damaged(), 1);
    if (parsed) {
      EXPECT_FALSE(parsed->crc_ok);
    }
  }
}

TEST(DynamixelCodecTest, KeepsTheNewestOfAFloodOfBytes) {
  Parser parser;
  for (int i = 0; i < 10; ++i) {
    parser.Push(Bytes(3000, 0xFF));
  }
  parser.Push(Bytes(10'000, 0xFF));
  parser.Push(FromHex("FFFFFD00 01 0300 01 194E"));
  EXPECT_TRUE(parser.Next().has_value());
}

}  // namespace
}  // namespace demorl::dxl
