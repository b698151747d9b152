#include "common/rpc/log_format.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "spdlog/details/log_msg.h"

namespace demorl {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;

std::string Line(const std::string& message) {
  spdlog::memory_buf_t line;
  MakeLogFormatter()->format(spdlog::details::log_msg("replay", spdlog::level::warn, message), line);
  return {line.data(), line.size()};
}

TEST(LogFormatTest, ALineHasLevelServiceAndMessage) {
  EXPECT_THAT(Line("a call\twas refused: \xc3\xa4"),
              EndsWith(" warning replay: a call\twas refused: \xc3\xa4\n"));
}

TEST(LogFormatTest, WhatOthersSentCannotPassForALineOfItsOwnNorMoveTheCursor) {
  const std::string forged = "by x\n2026-11-22T07:00:00.000 info leg_gateway: armed by ada";
  EXPECT_THAT(Line(forged),
              EndsWith("replay: by x\n    2026-11-22T07:00:00.000 info leg_gateway: armed by ada\n"));
  EXPECT_THAT(Line(std::string("\x1b[2J\r\0\x7f", 7)), EndsWith("replay: \\x1b[2J\\x0d\\x00\\x7f\n"));
}

TEST(LogFormatTest, AVeryLongMessageIsCutShort) {
  const std::string line = Line(std::string(40'000, 'x'));
  EXPECT_THAT(line, HasSubstr("xxx... (7232 bytes more)\n"));
  EXPECT_LT(line.size(), 33'000U);
}

}  // namespace
}  // namespace demorl
