#include "common/policy/safetensors.h"

#include <cmath>
#include <cstring>
#include <limits>

#include "common/base/random.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"

namespace demorl {
namespace {

using ::demorl::testing::StatusIs;
using ::testing::HasSubstr;

std::string Assemble(const std::string& header, const std::string& data) {
  const uint64_t length = header.size();
  std::string bytes(reinterpret_cast<const char*>(&length), 8);
  return bytes + header + data;
}

// One tensor entry "name" of two floats at bytes 0 to 8.
std::string Entry(const std::string& name, const std::string& shape = "[2]",
                  const std::string& offsets = "[0,8]", const std::string& dtype = "\"F32\"") {
  return "\"" + name + "\":{\"dtype\":" + dtype + ",\"shape\":" + shape + ",\"data_offsets\":" + offsets +
         "}";
}

TensorFile ExampleFile() {
  TensorFile file;
  file.tensors["b"] = {.shape = {2, 3}, .values = {1, 2, 3, 4, 5, 6}};
  file.tensors["a"] = {.shape = {}, .values = {-0.5f}};
  file.tensors["empty"] = {.shape = {0, 7}, .values = {}};
  file.metadata["kind"] = "policy \"quoted\"";
  return file;
}

TEST(Safetensors, GivesBackWhatWasEncoded) {
  const TensorFile file = ExampleFile();
  ASSERT_OK_AND_ASSIGN(const TensorFile decoded, DecodeSafetensors(EncodeSafetensors(file)));
  EXPECT_EQ(decoded.metadata, file.metadata);
  ASSERT_EQ(decoded.tensors.size(), 3u);
  for (const auto& [name, tensor] : file.tensors) {
    EXPECT_EQ(decoded.tensors.at(name).shape, tensor.shape) << name;
    EXPECT_EQ(decoded.tensors.at(name).values, tensor.values) << name;
  }
}

TEST(Safetensors, GivesEqualBytesForEqualContentsWhateverTheOrderOfInsertion) {
  TensorFile other;
  other.metadata["kind"] = "policy \"quoted\"";
  other.tensors["empty"] = {.shape = {0, 7}, .values = {}};
  other.tensors["a"] = {.shape = {}, .values = {-0.5f}};
  other.tensors["b"] = {.shape = {2, 3}, .values = {1, 2, 3, 4, 5, 6}};
  EXPECT_EQ(EncodeSafetensors(ExampleFile()), EncodeSafetensors(other));
  other.tensors["b"].values[3] = 4.5f;
  EXPECT_NE(EncodeSafetensors(ExampleFile()), EncodeSafetensors(other));
}

TEST(Safetensors, LaysFilesOutAsTheFormatSays) {
  TensorFile file;
  file.tensors["x"] = {.shape = {2}, .values = {1, 2}};
  const std::string bytes = EncodeSafetensors(file);
  uint64_t header_bytes = 0;
  std::memcpy(&header_bytes, bytes.data(), 8);
  EXPECT_EQ(header_bytes % 8, 0u);
  EXPECT_EQ(bytes.size(), 8 + header_bytes + 8);
  EXPECT_EQ(bytes.substr(8, header_bytes).find("{\"x\":{"), 0u);
  EXPECT_EQ(bytes.substr(bytes.size() - 4), std::string("\x00\x00\x00\x40", 4));
}

TEST(Safetensors, ReadsTensorsInAnyHeaderOrder) {
  const std::string data("\0\0\x80\x3f\0\0\0\x40\0\0\x40\x40\0\0\x80\x40", 16);
  const std::string header = "{" + Entry("a", "[2]", "[8,16]") + "," + Entry("b") + "}  ";
  ASSERT_OK_AND_ASSIGN(const TensorFile file, DecodeSafetensors(Assemble(header, data)));
  EXPECT_EQ(file.tensors.at("a").values, (std::vector<float>{3, 4}));
  EXPECT_EQ(file.tensors.at("b").values, (std::vector<float>{1, 2}));
}

struct BadCase {
  const char* name;
  std::string bytes;
  const char* message;
};

class BadSafetensors : public ::testing::TestWithParam<BadCase> {};

TEST_P(BadSafetensors, AreRefusedWithWhatWasFound) {
  EXPECT_THAT(DecodeSafetensors(GetParam().bytes),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(GetParam().message)));
}

const std::string kEight(8, '\0');

INSTANTIATE_TEST_SUITE_P(
    All, BadSafetensors,
    ::testing::Values(
        BadCase{"Empty", "", "0 bytes"}, BadCase{"Short", "1234567", "7 bytes"},
        BadCase{"HeaderLengthHuge", std::string(8, '\xff') + "{}", "header length"},
        BadCase{"HeaderLengthPastEnd", std::string("\x03\0\0\0\0\0\0\0{}", 10), "at most 2"},
        BadCase{"NoJson", Assemble("{oops", ""), "JSON"},
        BadCase{"NotAnObject", Assemble("[1]", ""), "not a JSON object"},
        BadCase{"TrailingText", Assemble("{}{}", ""), "JSON"},
        BadCase{"WrongType", Assemble("{" + Entry("a", "[2]", "[0,8]", "\"F64\"") + "}", kEight), "F64"},
        BadCase{"NoType", Assemble("{\"a\":{\"shape\":[2],\"data_offsets\":[0,8],\"x\":1}}", kEight),
                "(none)"},
        BadCase{"NegativeSize", Assemble("{" + Entry("a", "[-2]") + "}", kEight), "-2"},
        BadCase{"FractionalSize", Assemble("{" + Entry("a", "[2.0]") + "}", kEight), "2.0"},
        BadCase{"ShapeOverflow",
                Assemble("{" + Entry("a", "[4611686018427387904,4611686018427387904,4]") + "}", kEight),
                "too large"},
        BadCase{"SizeOver63Bits", Assemble("{" + Entry("a", "[18446744073709551615]") + "}", kEight),
                "63 bits"},
        BadCase{"ShapeMismatch", Assemble("{" + Entry("a", "[3]") + "}", kEight), "needs 12"},
        BadCase{"OffsetsPastEnd", Assemble("{" + Entry("a", "[4]", "[0,16]") + "}", kEight), "at most 8"},
        BadCase{"OffsetsBackwards", Assemble("{" + Entry("a", "[2]", "[8,0]") + "}", kEight), "8 to 0"},
        BadCase{"ThreeOffsets", Assemble("{" + Entry("a", "[2]", "[0,8,8]") + "}", kEight), "3 data_offsets"},
        BadCase{"Gap", Assemble("{" + Entry("a", "[1]", "[4,8]") + "}", kEight), "start at 0"},
        BadCase{"Overlap", Assemble("{" + Entry("a") + "," + Entry("b") + "}", kEight), "start at 8"},
        BadCase{"UnusedData", Assemble("{" + Entry("a") + "}", kEight + "1234"), "4 bytes"},
        BadCase{"DuplicateName", Assemble("{" + Entry("a") + "," + Entry("a", "[0]", "[8,8]") + "}", kEight),
                "twice"},
        BadCase{"EscapedDuplicateName",
                Assemble("{" + Entry("a") + "," + Entry("\\u0061", "[0]", "[8,8]") + "}", kEight), "twice"},
        BadCase{"DuplicateField",
                Assemble("{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}",
                         kEight),
                "twice"},
        BadCase{"Deep", Assemble("{\"a\":{\"shape\":[[2]]}}", kEight), "nested"},
        BadCase{"VeryDeep", Assemble(std::string(200'000, '['), ""), "nested"},
        BadCase{"MetadataNotText", Assemble("{\"__metadata__\":{\"a\":1}}", ""), "not a string"},
        BadCase{"MetadataList", Assemble("{\"__metadata__\":[]}", ""), "not an object"}),
    [](const auto& info) { return std::string(info.param.name); });

// Reads everything that was decoded, so that a sanitizer sees a wrong length.
double Touch(const TensorFile& file) {
  double sum = 0;
  for (const auto& [name, tensor] : file.tensors) {
    for (const float value : tensor.values) {
      sum += value;
    }
  }
  return sum;
}

TEST(Safetensors, SurvivesMutatedInput) {
  const std::string original = EncodeSafetensors(ExampleFile());
  Random random(7);
  int accepted = 0;
  for (int round = 0; round < 30'000; ++round) {
    std::string bytes = original;
    const int num_mutations = 1 + static_cast<int>(random.Index(4));
    for (int i = 0; i < num_mutations && !bytes.empty(); ++i) {
      const size_t position = random.Index(bytes.size());
      switch (random.Index(4)) {
        case 0:
          bytes[position] = static_cast<char>(random.Index(256));
          break;
        case 1:
          bytes[position] = "0123456789{}[],:\"-.eE"[random.Index(21)];
          break;
        case 2:
          bytes.erase(position, 1 + random.Index(8));
          break;
        default:
          bytes.insert(position, bytes.substr(random.Index(bytes.size()), random.Index(16)));
      }
    }
    const absl::StatusOr<TensorFile> file = DecodeSafetensors(bytes);
    if (file.ok()) {
      ++accepted;
      Touch(*file);
      EXPECT_OK(DecodeSafetensors(EncodeSafetensors(*file)));
    }
  }
  EXPECT_GT(accepted, 0);
}

TEST(Safetensors, EveryPrefixIsRefused) {
  const std::string bytes = EncodeSafetensors(ExampleFile());
  for (size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_FALSE(DecodeSafetensors(absl::string_view(bytes).substr(0, size)).ok()) << size;
  }
}

TEST(Safetensors, NamesTheFirstTensorThatIsNotFinite) {
  TensorFile file = ExampleFile();
  EXPECT_OK(CheckFinite(file));
  file.tensors["b"].values[4] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THAT(CheckFinite(file), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("'b'")));
  file.tensors["b"].values[4] = -std::numeric_limits<float>::infinity();
  EXPECT_THAT(CheckFinite(file), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("-inf")));
}

TEST(Safetensors, FindsTensorsByNameAndShape) {
  const TensorFile file = ExampleFile();
  ASSERT_OK_AND_ASSIGN(const NamedTensor* tensor, FindTensor(file, "b", {2, 3}));
  EXPECT_EQ(tensor->values[5], 6);
  EXPECT_THAT(FindTensor(file, "c", {1}), StatusIs(absl::StatusCode::kNotFound, HasSubstr("'c'")));
  EXPECT_THAT(FindTensor(file, "b", {3, 2}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("[2, 3], expected [3, 2]")));
}

}  // namespace
}  // namespace demorl
