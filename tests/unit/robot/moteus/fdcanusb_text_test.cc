#include "common/robot/drivers/moteus/fdcanusb_text.h"

#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "common/base/random.h"
#include "gmock/gmock.h"

namespace demorl {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using Kind = FdcanusbLine::Kind;

std::string Hex(const CanFrame& frame) {
  return absl::BytesToHexString({reinterpret_cast<const char*>(frame.data.data()), frame.size});
}

CanFrame FrameOf(uint32_t id, const char* hex) {
  const std::string bytes = absl::HexStringToBytes(hex);
  CanFrame frame{.id = id, .size = static_cast<uint8_t>(bytes.size())};
  std::copy(bytes.begin(), bytes.end(), frame.data.begin());
  return frame;
}

std::vector<std::string> LinesOf(FdcanusbLineReader& reader, const std::string& bytes) {
  std::vector<std::string> lines;
  for (const char byte : bytes) {
    if (reader.Push(static_cast<uint8_t>(byte))) {
      lines.emplace_back(reader.line());
    }
  }
  return lines;
}

TEST(Crc8Test, AgreesWithTheVectors) {
  EXPECT_EQ(Crc8("can send 8001 01000a07206000200150ff140400130d "), 0x12);
  EXPECT_EQ(Crc8("OK "), 0xbd);
  EXPECT_EQ(Crc8("rcv 100 2404000a005000000170ff230d181400 "), 0x19);
  EXPECT_EQ(Crc8(""), 0);
}

TEST(FdcanusbLineReaderTest, CutsLinesWhateverTheirEnds) {
  FdcanusbLineReader reader;
  EXPECT_THAT(LinesOf(reader, "OK\r\n\n\nrcv 100 01\rERR x\nOK"), ElementsAre("OK", "rcv 100 01", "ERR x"));
  EXPECT_THAT(LinesOf(reader, "\n"), ElementsAre("OK"));
  EXPECT_EQ(reader.skipped_bytes(), 0);
}

TEST(FdcanusbLineReaderTest, IsSoundAgainAfterGarbageAndLongLines) {
  FdcanusbLineReader reader;
  EXPECT_THAT(LinesOf(reader, absl::StrCat("OK\xff\x01garbage\n", "OK\n")), ElementsAre("OK"));
  EXPECT_EQ(reader.skipped_bytes(), 11);
  EXPECT_THAT(LinesOf(reader, std::string(10'000, 'x')), IsEmpty());
  EXPECT_THAT(LinesOf(reader, "rcv\nrcv 1 02\n"), ElementsAre("rcv 1 02"));
  EXPECT_EQ(reader.skipped_bytes(), 10'014);
  const std::string longest(kMaxFdcanusbLine, 'y');
  EXPECT_THAT(LinesOf(reader, longest + "\n"), ElementsAre(longest));
}

TEST(FdcanusbTextTest, ReadsTheVectorsOfTheProtocol) {
  const FdcanusbLine send = ParseFdcanusbLine("can send 8001 01000a07206000200150ff140400130d *12");
  EXPECT_EQ(send.kind, Kind::kSend);
  EXPECT_TRUE(send.has_checksum);
  EXPECT_EQ(send.frame.id, 0x8001);
  EXPECT_EQ(Hex(send.frame), "01000a07206000200150ff140400130d");
  const FdcanusbLine received = ParseFdcanusbLine("rcv 100 2404000a005000000170ff230d181400 *19");
  EXPECT_EQ(received.kind, Kind::kReceived);
  EXPECT_EQ(received.frame.id, 0x100);
  EXPECT_EQ(Hex(received.frame), "2404000a005000000170ff230d181400");
  EXPECT_EQ(ParseFdcanusbLine("OK *BD").kind, Kind::kOk);
}

TEST(FdcanusbTextTest, WritesTheVectorsOfTheProtocol) {
  FdcanusbBuffer line;
  const auto text = [&line](size_t size) { return std::string(line.data(), size); };
  const CanFrame command = FrameOf(0x8001, "01000a07206000200150ff140400130d");
  EXPECT_EQ(text(WriteSendLine(command, false, line)), "can send 8001 01000A07206000200150FF140400130D BF\n");
  EXPECT_EQ(text(WriteTextLine("OK", true, line)), "OK *BD\n");
  EXPECT_EQ(text(WriteTextLine("ERR checksum", false, line)), "ERR checksum\n");
  EXPECT_EQ(text(WriteReceivedLine(FrameOf(0x100, "2404"), false, line)), "rcv 100 2404 e B F\n");
  EXPECT_EQ(text(WriteSendLine(FrameOf(0xc1, ""), false, line)), "can send 00c1  BF\n");
}

TEST(FdcanusbTextTest, ReadsWhatItWrites) {
  Random random(3);
  FdcanusbBuffer line;
  for (int i = 0; i < 20'000; ++i) {
    CanFrame frame{.id = static_cast<uint32_t>(random.Index(1 << 29)),
                   .size = static_cast<uint8_t>(1 + random.Index(64))};
    for (size_t j = 0; j < frame.size; ++j) {
      frame.data[j] = static_cast<uint8_t>(random.NextUint64());
    }
    const bool checksum = random.Index(2) == 1;
    const bool received = random.Index(2) == 1;
    const size_t size =
        received ? WriteReceivedLine(frame, checksum, line) : WriteSendLine(frame, checksum, line);
    ASSERT_LT(size, line.size());
    const FdcanusbLine parsed = ParseFdcanusbLine({line.data(), size - 1});
    ASSERT_EQ(parsed.kind, received ? Kind::kReceived : Kind::kSend);
    EXPECT_EQ(parsed.has_checksum, checksum);
    EXPECT_EQ(parsed.frame.id, frame.id);
    EXPECT_EQ(Hex(parsed.frame), Hex(frame));
  }
}

TEST(FdcanusbTextTest, ReadsEveryFlagAndRefusesOthers) {
  EXPECT_EQ(ParseFdcanusbLine("rcv 100 01 E B F r t12345 f7").kind, Kind::kReceived);
  EXPECT_EQ(ParseFdcanusbLine("rcv 8100  e b f").frame.size, 0);
  EXPECT_EQ(ParseFdcanusbLine("can std 1 0102 BF").kind, Kind::kSend);
  EXPECT_EQ(ParseFdcanusbLine("can ext 10001 0102 b f").kind, Kind::kSend);
  for (const char* line :
       {"rcv", "rcv 100 0", "rcv 100 0g", "rcv xyz 00", "rcv 123456789 00", "rcv 20000000 00", "rcv 100 00 R",
        "rcv 100 00 Q", "can send", "can send 8001 012"}) {
    EXPECT_EQ(ParseFdcanusbLine(line).kind, Kind::kMalformed) << line;
  }
  EXPECT_EQ(ParseFdcanusbLine(absl::StrCat("rcv 1 ", std::string(130, '0'))).kind, Kind::kMalformed);
}

TEST(FdcanusbTextTest, TellsAnswersApart) {
  EXPECT_EQ(ParseFdcanusbLine("OK").kind, Kind::kOk);
  EXPECT_EQ(ParseFdcanusbLine("ERR unknown command").text, "unknown command");
  EXPECT_EQ(ParseFdcanusbLine("ERR").kind, Kind::kError);
  EXPECT_EQ(ParseFdcanusbLine("can on").kind, Kind::kOther);
  EXPECT_EQ(ParseFdcanusbLine("conf get can.bitrate").text, "conf get can.bitrate");
  EXPECT_EQ(ParseFdcanusbLine("OKAY").kind, Kind::kOther);
  EXPECT_EQ(ParseFdcanusbLine("").kind, Kind::kOther);
}

TEST(FdcanusbTextTest, AnyFlippedBitBreaksTheChecksum) {
  const std::string sound = "rcv 100 2404000a005000000170ff230d181400 *19";
  for (size_t i = 0; i < sound.size() - 3; ++i) {
    for (int bit = 0; bit < 7; ++bit) {
      std::string broken = sound;
      broken[i] = static_cast<char>(broken[i] ^ (1 << bit));
      EXPECT_EQ(ParseFdcanusbLine(broken).kind, Kind::kWrongChecksum) << broken;
    }
  }
}

TEST(FdcanusbTextTest, SurvivesAnyBytes) {
  Random random(11);
  FdcanusbLineReader reader;
  for (int i = 0; i < 1'000'000; ++i) {
    const bool text = random.Index(4) != 0;
    const auto byte = static_cast<uint8_t>(text ? "rcvcansend0123456789abcdefBF *OKERR \n"[random.Index(37)]
                                                : random.NextUint64());
    if (reader.Push(byte)) {
      const FdcanusbLine line = ParseFdcanusbLine(reader.line());
      EXPECT_LE(line.text.size(), kMaxFdcanusbLine);
      EXPECT_LE(line.frame.size, CanFrame::kMaxSize);
    }
  }
}

}  // namespace
}  // namespace demorl
