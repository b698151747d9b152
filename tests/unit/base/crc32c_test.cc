#include "common/base/crc32c.h"

#include <string>

#include "gtest/gtest.h"

namespace demorl {
namespace {

TEST(Crc32cTest, MatchesThePublishedVectors) {
  // RFC 3720, appendix B.4.
  EXPECT_EQ(Crc32c("123456789"), 0xe3069283u);
  EXPECT_EQ(Crc32c(std::string(32, '\0')), 0x8a9136aau);
  EXPECT_EQ(Crc32c(std::string(32, '\xff')), 0x62a8ab43u);
}

TEST(Crc32cTest, ContinuesFromAnEarlierPart) {
  const std::string text = "a transition is observation, action, reward and next observation";
  for (size_t split = 0; split <= text.size(); ++split) {
    EXPECT_EQ(Crc32c(text.substr(split), Crc32c(text.substr(0, split))), Crc32c(text)) << split;
  }
}

TEST(Crc32cTest, NoticesEveryFlippedBit) {
  std::string text = "0123456789abcdef0";
  const uint32_t crc = Crc32c(text);
  for (size_t bit = 0; bit < text.size() * 8; ++bit) {
    text[bit / 8] ^= static_cast<char>(1 << (bit % 8));
    EXPECT_NE(Crc32c(text), crc) << bit;
    text[bit / 8] ^= static_cast<char>(1 << (bit % 8));
  }
}

}  // namespace
}  // namespace demorl
