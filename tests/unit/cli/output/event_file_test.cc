#include "services/cli/run_log/event_file.h"

#include <unistd.h>

#include <cstring>

#include "absl/strings/str_cat.h"
#include "common/base/crc32c.h"
#include "common/base/file_io.h"
#include "gtest/gtest.h"
#include "services/cli/run_log/wire_writer.h"
#include "tests/testing/status_matchers.h"

namespace demorl {
namespace {

using ::demorl::testing::StatusIs;
using ::testing::HasSubstr;

template <typename T>
T Read(absl::string_view bytes, size_t position) {
  T value;
  std::memcpy(&value, bytes.data() + position, sizeof(value));
  return value;
}

// Undoes the mask as TensorFlow's crc32c::Unmask does.
uint32_t Unmask(uint32_t masked) {
  const uint32_t rotated = masked - 0xa282ead8u;
  return (rotated >> 17) | (rotated << 15);
}

// Payloads of all records, each checked against its two CRCs.
std::vector<std::string> ReadRecords(const std::string& file) {
  std::vector<std::string> records;
  size_t position = 0;
  while (position < file.size()) {
    const uint64_t length = Read<uint64_t>(file, position);
    EXPECT_EQ(Unmask(Read<uint32_t>(file, position + 8)),
              Crc32c(absl::string_view(file).substr(position, 8)));
    const std::string payload = file.substr(position + 12, length);
    EXPECT_EQ(Unmask(Read<uint32_t>(file, position + 12 + length)), Crc32c(payload));
    records.push_back(payload);
    position += 16 + length;
  }
  EXPECT_EQ(position, file.size());
  return records;
}

TEST(EventFile, HoldsAVersionAndThenOneEventPerScalar) {
  const std::filesystem::path folder =
      std::filesystem::path(::testing::TempDir()) / absl::StrCat("events_", getpid());
  ASSERT_OK(MakeFolders(folder));
  const absl::Time now = absl::FromUnixMillis(1'700'000'000'500);
  ASSERT_OK_AND_ASSIGN(const auto writer, EventFileWriter::Create(folder, now));
  EXPECT_THAT(writer->path().filename().string(), ::testing::StartsWith("events.out.tfevents.1700000000."));
  ASSERT_OK(writer->AddScalar("rollout/ep_rew_mean", 300, -1.5, now));
  ASSERT_OK_AND_ASSIGN(const std::string file, ReadFile(writer->path()));
  const std::vector<std::string> records = ReadRecords(file);
  ASSERT_EQ(records.size(), 2u);

  EXPECT_EQ(records[0][0], 0x09);  // field 1, double: wall time
  EXPECT_EQ(Read<double>(records[0], 1), 1'700'000'000.5);
  EXPECT_EQ(records[0].substr(9),
            "\x1a\x0d"
            "brain.Event:2");

  EXPECT_EQ(Read<double>(records[1], 1), 1'700'000'000.5);
  EXPECT_EQ(records[1].substr(9, 3), "\x10\xac\x02");  // field 2, varint 300
  const std::string value = absl::StrCat("\x0a\x13", "rollout/ep_rew_mean", "\x15");
  EXPECT_EQ(records[1].substr(12, 4), (std::string{'\x2a', static_cast<char>(value.size() + 6), '\x0a',
                                                   static_cast<char>(value.size() + 4)}));
  EXPECT_EQ(records[1].substr(16, value.size()), value);
  EXPECT_EQ(Read<float>(records[1], 16 + value.size()), -1.5f);
  EXPECT_EQ(records[1].size(), 16 + value.size() + 4);
  std::filesystem::remove_all(folder);
}

TEST(EventFile, NamesTheFolderThatCannotBeWritten) {
  EXPECT_THAT(EventFileWriter::Create("/no/such/folder", absl::Now()),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("/no/such/folder")));
}

}  // namespace
}  // namespace demorl
