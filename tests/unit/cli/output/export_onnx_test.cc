#include "services/cli/export/export_onnx.h"

#include <cmath>

#include "gtest/gtest.h"
#include "tests/fakes/policies.h"
#include "tests/testing/status_matchers.h"

namespace demorl {
namespace {

using ::demorl::testing::StatusIs;
using ::testing::HasSubstr;

TEST(ExportOnnx, GivesEqualBytesForEqualPolicies) {
  ASSERT_OK_AND_ASSIGN(const std::string one, EncodeOnnx(RandomPolicy(3, {4}, 2, 1)));
  ASSERT_OK_AND_ASSIGN(const std::string same, EncodeOnnx(RandomPolicy(3, {4}, 2, 1)));
  ASSERT_OK_AND_ASSIGN(const std::string other, EncodeOnnx(RandomPolicy(3, {4}, 2, 2)));
  EXPECT_EQ(one, same);
  EXPECT_NE(one, other);
}

TEST(ExportOnnx, RefusesWhatIsNoPolicy) {
  EXPECT_THAT(EncodeOnnx(TensorFile{}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("policy.mean.weight")));
  TensorFile file = RandomPolicy(3, {4, 4}, 2, 1);
  file.tensors.erase("policy.hidden.1.bias");
  EXPECT_THAT(EncodeOnnx(file),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("policy.hidden.1.bias")));
  file = RandomPolicy(3, {4}, 2, 1);
  file.tensors["policy.mean.bias"].values[0] = std::nanf("");
  EXPECT_THAT(ExportOnnx(file, "/tmp/never"), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("nan")));
}

TEST(ExportOnnx, NamesTheFileThatCannotBeWritten) {
  EXPECT_THAT(ExportOnnx(RandomPolicy(3, {4}, 2, 1), "/no/such/folder/p.onnx"),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("/no/such/folder")));
}

}  // namespace
}  // namespace demorl
