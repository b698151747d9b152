#include "common/robot/drivers/moteus/fdcanusb_text.h"

#include <algorithm>

namespace demorl {
namespace {

constexpr std::string_view kUpperDigits = "0123456789ABCDEF";
constexpr std::string_view kLowerDigits = "0123456789abcdef";

// -1 for what is no digit.
int FromHex(char digit) {
  if (digit >= '0' && digit <= '9') {
    return digit - '0';
  }
  const char lower = static_cast<char>(digit | 0x20);
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

// Cuts the next word off `text`; empty at its end.
std::string_view TakeWord(std::string_view& text) {
  text.remove_prefix(std::min(text.find_first_not_of(' '), text.size()));
  const std::string_view word = text.substr(0, text.find(' '));
  text.remove_prefix(word.size());
  return word;
}

bool ParseId(std::string_view word, uint32_t& id) {
  if (word.empty() || word.size() > 8) {
    return false;
  }
  id = 0;
  for (const char digit : word) {
    const int value = FromHex(digit);
    if (value < 0) {
      return false;
    }
    id = id << 4 | static_cast<uint32_t>(value);
  }
  return id < (1u << 29);
}

bool ParseData(std::string_view word, CanFrame& frame) {
  if (word.size() % 2 != 0 || word.size() > 2 * CanFrame::kMaxSize) {
    return false;
  }
  frame.size = static_cast<uint8_t>(word.size() / 2);
  for (size_t i = 0; i < frame.size; ++i) {
    const int high = FromHex(word[2 * i]);
    const int low = FromHex(word[2 * i + 1]);
    if (high < 0 || low < 0) {
      return false;
    }
    frame.data[i] = static_cast<uint8_t>(high << 4 | low);
  }
  return true;
}

// Letters, alone or together, and numbers as "t1234" and "f5". Frames without data ("R") are not of this
// protocol.
bool FlagsAreKnown(std::string_view text) {
  for (std::string_view word = TakeWord(text); !word.empty(); word = TakeWord(text)) {
    const bool number = word.size() > 1 && (word[0] == 't' || word[0] == 'f') &&
                        word.find_first_not_of("0123456789", 1) == std::string_view::npos;
    if (!number && word.find_first_not_of("EeBbFfr") != std::string_view::npos) {
      return false;
    }
  }
  return true;
}

bool ParseFrame(std::string_view text, CanFrame& frame) {
  if (!ParseId(TakeWord(text), frame.id)) {
    return false;
  }
  // Without data the first flag stands in their place.
  std::string_view after_data = text;
  const std::string_view data = TakeWord(after_data);
  if (ParseData(data, frame)) {
    return FlagsAreKnown(after_data);
  }
  frame.size = 0;
  return FlagsAreKnown(text);
}

// Cuts a checksum off the end of `line`, "*" and two digits.
enum class Checksum { kAbsent, kRight, kWrong };
Checksum TakeChecksum(std::string_view& line) {
  if (line.size() < 3 || line[line.size() - 3] != '*') {
    return Checksum::kAbsent;
  }
  const int high = FromHex(line[line.size() - 2]);
  const int low = FromHex(line[line.size() - 1]);
  if (high < 0 || low < 0) {
    return Checksum::kAbsent;
  }
  line.remove_suffix(3);
  return Crc8(line) == (high << 4 | low) ? Checksum::kRight : Checksum::kWrong;
}

class LineWriter {
 public:
  explicit LineWriter(FdcanusbBuffer& out) : out_(out) {}

  void Put(std::string_view text) {
    const size_t size = std::min(text.size(), out_.size() - size_);
    std::copy_n(text.begin(), size, out_.begin() + size_);
    size_ += size;
  }

  void PutId(uint32_t id, int min_digits) {
    int num_digits = min_digits;
    while (num_digits < 8 && id >> (4 * num_digits) != 0) {
      ++num_digits;
    }
    for (int shift = 4 * (num_digits - 1); shift >= 0; shift -= 4) {
      Put(kLowerDigits.substr((id >> shift) & 0xf, 1));
    }
  }

  void PutByte(uint8_t byte) {
    Put(kUpperDigits.substr(byte >> 4, 1));
    Put(kUpperDigits.substr(byte & 0xf, 1));
  }

  void PutData(const CanFrame& frame) {
    for (const uint8_t byte : frame.payload()) {
      PutByte(byte);
    }
  }

  size_t Finish(bool checksum) {
    if (checksum) {
      Put(" ");
      const uint8_t crc = Crc8({out_.data(), size_});
      Put("*");
      PutByte(crc);
    }
    Put("\n");
    return size_;
  }

 private:
  FdcanusbBuffer& out_;
  size_t size_ = 0;
};

}  // namespace

uint8_t Crc8(std::string_view bytes) {
  uint8_t crc = 0;
  for (const char byte : bytes) {
    crc ^= static_cast<uint8_t>(byte);
    for (int bit = 0; bit < 8; ++bit) {
      crc = static_cast<uint8_t>((crc & 0x80) != 0 ? crc << 1 ^ 0x97 : crc << 1);
    }
  }
  return crc;
}

bool FdcanusbLineReader::Push(uint8_t byte) {
  if (complete_) {
    size_ = 0;
    complete_ = false;
  }
  if (byte == '\n' || byte == '\r') {
    complete_ = !skipping_ && size_ > 0;
    skipping_ = false;
    return complete_;
  }
  const bool printable = byte >= 0x20 && byte < 0x7f;
  if (skipping_ || !printable || size_ == line_.size()) {
    skipped_bytes_ += size_ + 1;
    size_ = 0;
    skipping_ = true;
    return false;
  }
  line_[size_++] = static_cast<char>(byte);
  return false;
}

FdcanusbLine ParseFdcanusbLine(std::string_view line) {
  using Kind = FdcanusbLine::Kind;
  FdcanusbLine result;
  const Checksum checksum = TakeChecksum(line);
  result.has_checksum = checksum != Checksum::kAbsent;
  while (!line.empty() && line.back() == ' ') {
    line.remove_suffix(1);
  }
  result.text = line;
  if (checksum == Checksum::kWrong) {
    result.kind = Kind::kWrongChecksum;
    return result;
  }
  std::string_view rest = line;
  const std::string_view word = TakeWord(rest);
  if (word == "OK" && rest.empty()) {
    result.kind = Kind::kOk;
  } else if (word == "ERR") {
    result.kind = Kind::kError;
    result.text = rest.substr(std::min(rest.find_first_not_of(' '), rest.size()));
  } else if (word == "rcv") {
    result.kind = ParseFrame(rest, result.frame) ? Kind::kReceived : Kind::kMalformed;
  } else if (word == "can") {
    const std::string_view verb = TakeWord(rest);
    if (verb == "send" || verb == "std" || verb == "ext") {
      result.kind = ParseFrame(rest, result.frame) ? Kind::kSend : Kind::kMalformed;
    }
  }
  return result;
}

size_t WriteSendLine(const CanFrame& frame, bool checksum, FdcanusbBuffer& out) {
  LineWriter writer(out);
  writer.Put("can send ");
  writer.PutId(frame.id, 4);
  writer.Put(" ");
  writer.PutData(frame);
  writer.Put(" BF");
  return writer.Finish(checksum);
}

size_t WriteReceivedLine(const CanFrame& frame, bool checksum, FdcanusbBuffer& out) {
  LineWriter writer(out);
  writer.Put("rcv ");
  writer.PutId(frame.id, 1);
  writer.Put(" ");
  writer.PutData(frame);
  writer.Put(frame.id > 0x7ff ? " E B F" : " e B F");
  return writer.Finish(checksum);
}

size_t WriteTextLine(std::string_view text, bool checksum, FdcanusbBuffer& out) {
  LineWriter writer(out);
  writer.Put(text.substr(0, 200));
  return writer.Finish(checksum);
}

}  // namespace demorl
