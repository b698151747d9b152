#include "common/robot/drivers/moteus/moteus_codec.h"

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "common/base/random.h"
#include "gmock/gmock.h"

namespace demorl {
namespace {

using ::testing::ElementsAre;
using ::testing::SizeIs;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr auto kInt8 = MoteusResolution::kInt8;
constexpr auto kInt16 = MoteusResolution::kInt16;
constexpr auto kInt32 = MoteusResolution::kInt32;
constexpr auto kFloat = MoteusResolution::kFloat;

std::string Hex(const CanFrame& frame) {
  return absl::BytesToHexString({reinterpret_cast<const char*>(frame.data.data()), frame.size});
}

std::vector<MoteusItem> Items(const std::string& bytes, bool* malformed = nullptr) {
  MoteusFrameReader reader({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()});
  std::vector<MoteusItem> items;
  for (MoteusItem item; reader.Next(item);) {
    items.push_back(item);
  }
  if (malformed != nullptr) {
    *malformed = reader.malformed();
  }
  return items;
}

std::vector<MoteusItem> ItemsOfHex(const char* hex, bool* malformed = nullptr) {
  return Items(absl::HexStringToBytes(hex), malformed);
}

MATCHER_P4(IsItem, kind, address, resolution, value, "") {
  *result_listener << "kind " << static_cast<int>(arg.kind) << " address " << arg.register_value.address
                   << " value " << arg.register_value.value;
  return arg.kind == kind && arg.register_value.address == static_cast<uint32_t>(address) &&
         arg.register_value.resolution == resolution &&
         (std::isnan(value) ? std::isnan(arg.register_value.value)
                            : std::abs(arg.register_value.value - value) < 1e-12);
}

TEST(MoteusFrameWriterTest, WritesTheExampleOfTheProtocol) {
  CanFrame frame{.id = 0x8001};
  MoteusFrameWriter writer(frame);
  const MoteusValue command[] = {
      {0x000, kInt8, 10}, {0x020, kInt16, 0.00961}, {0x021, kInt16, 0.0721}, {0x022, kInt16, -1.761}};
  const MoteusValue query[] = {{0x000, kInt16}, {0x001, kInt16}, {0x002, kInt16}, {0x003, kInt16},
                               {0x00d, kInt8},  {0x00e, kInt8},  {0x00f, kInt8}};
  ASSERT_TRUE(writer.Append(MoteusSubframe::kWrite, command));
  ASSERT_TRUE(writer.Append(MoteusSubframe::kRead, query));
  EXPECT_EQ(Hex(frame), "01000a07206000200150ff140400130d");
  EXPECT_EQ(frame.id, 0x8001);
}

TEST(MoteusFrameWriterTest, WritesFloats) {
  CanFrame frame;
  MoteusFrameWriter writer(frame);
  const MoteusValue command[] = {{0x000, kInt8, 10}, {0x020, kFloat, 1}, {0x021, kFloat, 2}};
  const MoteusValue query[] = {{0x000, kInt8}, {0x001, kFloat}, {0x002, kFloat}, {0x003, kFloat},
                               {0x00d, kInt8}, {0x00e, kInt8},  {0x00f, kInt8}};
  ASSERT_TRUE(writer.Append(MoteusSubframe::kWrite, command));
  ASSERT_TRUE(writer.Append(MoteusSubframe::kRead, query));
  EXPECT_EQ(Hex(frame), "01000a0e200000803f0000004011001f01130d");
}

TEST(MoteusFrameWriterTest, HoldsIntegersWithinTheirRangeAndKeepsTheLeastForNan) {
  for (const auto& [value, hex] : std::vector<std::pair<double, std::string>>{
           {100, "01207f"}, {-100, "012081"}, {kNan, "012080"}, {-1.279, "012081"}, {0.019, "012001"}}) {
    CanFrame frame;
    const MoteusValue position = {0x020, kInt8, value};
    ASSERT_TRUE(MoteusFrameWriter(frame).Append(MoteusSubframe::kWrite, {&position, 1}));
    EXPECT_EQ(Hex(frame), hex) << value;
  }
  CanFrame frame;
  const MoteusValue positions[] = {{0x020, kInt16, kNan}, {0x020, kInt32, 1e9}, {0x020, kFloat, kNan}};
  ASSERT_TRUE(MoteusFrameWriter(frame).Append(MoteusSubframe::kWrite, positions));
  EXPECT_EQ(Hex(frame),
            "05200080"
            "0920ffffff7f"
            "0d200000c07f");
}

TEST(MoteusFrameWriterTest, WholeNumbersGoDownToTheLeast) {
  CanFrame frame;
  const MoteusValue serial_numbers[] = {{0x120, kInt32, -2147483648.0}, {0x121, kInt8, -128}};
  ASSERT_TRUE(MoteusFrameWriter(frame).Append(MoteusSubframe::kWrite, serial_numbers));
  EXPECT_EQ(Hex(frame),
            "09a00200000080"
            "01a10280");
}

TEST(MoteusFrameWriterTest, ParsesWhatItWroteAtEveryResolutionAndCount) {
  Random random(1);
  for (const MoteusResolution resolution : {kInt8, kInt16, kInt32, kFloat}) {
    for (size_t count = 1; count <= 8; ++count) {
      std::vector<MoteusValue> values;
      for (size_t i = 0; i < count; ++i) {
        values.push_back({.address = 0x150 + static_cast<uint32_t>(i),
                          .resolution = resolution,
                          .value = std::floor(random.Uniform(-127, 127))});
      }
      CanFrame frame;
      ASSERT_TRUE(MoteusFrameWriter(frame).Append(MoteusSubframe::kReply, values));
      bool malformed = true;
      const auto items = Items({reinterpret_cast<const char*>(frame.data.data()), frame.size}, &malformed);
      EXPECT_FALSE(malformed);
      ASSERT_THAT(items, SizeIs(count));
      for (size_t i = 0; i < count; ++i) {
        EXPECT_THAT(items[i], IsItem(MoteusSubframe::kReply, values[i].address, resolution, values[i].value));
      }
    }
  }
}

TEST(MoteusFrameWriterTest, LeavesTheFrameAsItWasWhenSomethingDoesNotFit) {
  CanFrame frame;
  MoteusFrameWriter writer(frame);
  std::vector<MoteusValue> values(15, {0x000, kFloat, 1});
  for (size_t i = 0; i < values.size(); ++i) {
    values[i].address = static_cast<uint32_t>(i);
  }
  ASSERT_TRUE(writer.Append(MoteusSubframe::kWrite, values));
  ASSERT_EQ(frame.size, 63);
  EXPECT_FALSE(writer.Append(MoteusSubframe::kWrite, std::span(values).first(1)));
  EXPECT_FALSE(writer.AppendError(MoteusSubframe::kReadError, 0x100, 1));
  EXPECT_EQ(frame.size, 63);
  writer.Pad();
  EXPECT_EQ(frame.size, 64);
  EXPECT_EQ(frame.data[63], 0x50);
}

TEST(MoteusFrameWriterTest, PadsToSizesOfCanFd) {
  for (int size = 0; size <= 64; ++size) {
    const int padded = CanFdPayloadSize(static_cast<uint8_t>(size));
    EXPECT_GE(padded, size);
    EXPECT_TRUE(padded <= 8 ? padded == size
                            : padded == 12 || padded == 16 || padded == 20 || padded == 24 || padded == 32 ||
                                  padded == 48 || padded == 64)
        << size;
  }
}

TEST(MoteusFrameReaderTest, ReadsTheExampleReplyOfTheProtocol) {
  constexpr auto kReply = MoteusSubframe::kReply;
  bool malformed = true;
  EXPECT_THAT(ItemsOfHex("2404000a005000000170ff230d181400", &malformed),
              ElementsAre(IsItem(kReply, 0, kInt16, 10.0), IsItem(kReply, 1, kInt16, 0.008),
                          IsItem(kReply, 2, kInt16, 0.064), IsItem(kReply, 3, kInt16, -1.44),
                          IsItem(kReply, 0xd, kInt8, 12.0), IsItem(kReply, 0xe, kInt8, 20.0),
                          IsItem(kReply, 0xf, kInt8, 0.0)));
  EXPECT_FALSE(malformed);
}

TEST(MoteusFrameReaderTest, ReadsCommandsWithQueries) {
  constexpr auto kWrite = MoteusSubframe::kWrite;
  constexpr auto kRead = MoteusSubframe::kRead;
  EXPECT_THAT(ItemsOfHex("01000a0e200000803f0000004011001f01130d"),
              ElementsAre(IsItem(kWrite, 0, kInt8, 10.0), IsItem(kWrite, 0x20, kFloat, 1.0),
                          IsItem(kWrite, 0x21, kFloat, 2.0), IsItem(kRead, 0, kInt8, 0.0),
                          IsItem(kRead, 1, kFloat, 0.0), IsItem(kRead, 2, kFloat, 0.0),
                          IsItem(kRead, 3, kFloat, 0.0), IsItem(kRead, 0xd, kInt8, 0.0),
                          IsItem(kRead, 0xe, kInt8, 0.0), IsItem(kRead, 0xf, kInt8, 0.0)));
}

TEST(MoteusFrameReaderTest, TheLeastIntegerIsNanOnlyWhereRegistersAreScaled) {
  constexpr auto kReply = MoteusSubframe::kReply;
  EXPECT_THAT(ItemsOfHex("210180"
                         "25010080"
                         "290100000080"
                         "2d010000c07f"),
              ElementsAre(IsItem(kReply, 1, kInt8, kNan), IsItem(kReply, 1, kInt16, kNan),
                          IsItem(kReply, 1, kInt32, kNan), IsItem(kReply, 1, kFloat, kNan)));
  EXPECT_THAT(ItemsOfHex("29a00200000080"), ElementsAre(IsItem(kReply, 0x120, kInt32, -2147483648.0)));
}

TEST(MoteusFrameReaderTest, ReadsErrorsAndSkipsPadding) {
  const auto items = ItemsOfHex(
      "50300a02"
      "50"
      "318002ac025050");
  ASSERT_THAT(items, SizeIs(2));
  EXPECT_EQ(items[0].kind, MoteusSubframe::kWriteError);
  EXPECT_EQ(items[0].register_value.address, 0x00a);
  EXPECT_EQ(items[0].error, 2);
  EXPECT_EQ(items[1].kind, MoteusSubframe::kReadError);
  EXPECT_EQ(items[1].register_value.address, 0x100);
  EXPECT_EQ(items[1].error, 300);
}

TEST(MoteusFrameReaderTest, KnowsWhatItCannotRead) {
  for (const char* hex :
       {"01", "0100", "0c", "0c04", "0d2000", "018080808010", "0180808080800000", "60", "40", "11ffffffff0f",
        "10ffffffff0f00", "30", "3001", "3180", "0a2001000000", "13ffff03", "1180800400"}) {
    bool malformed = false;
    ItemsOfHex(hex, &malformed);
    EXPECT_TRUE(malformed) << hex;
  }
  // What comes before is still given.
  bool malformed = false;
  EXPECT_THAT(ItemsOfHex("21000a2d0100", &malformed),
              ElementsAre(IsItem(MoteusSubframe::kReply, 0, kInt8, 10.0)));
  EXPECT_TRUE(malformed);
}

TEST(MoteusFrameReaderTest, EveryCutOfAFrameEndsAndNoneInventsARegister) {
  const std::string whole = absl::HexStringToBytes("01000a0e200000803f00000040200300112233302001");
  const size_t num_whole = Items(whole).size();
  for (size_t size = 0; size < whole.size(); ++size) {
    EXPECT_LE(Items(whole.substr(0, size)).size(), num_whole);
  }
}

TEST(MoteusFrameReaderTest, SurvivesAnyBytes) {
  Random random(7);
  for (int i = 0; i < 200'000; ++i) {
    std::string bytes(random.Index(65), '\0');
    for (char& byte : bytes) {
      byte = static_cast<char>(random.NextUint64());
    }
    EXPECT_LE(Items(bytes).size(), 64 * 0x200);
  }
}

}  // namespace
}  // namespace demorl
