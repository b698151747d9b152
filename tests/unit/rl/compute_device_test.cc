#include "common/rl/compute_device.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"

namespace demorl {
namespace {

using ::demorl::testing::StatusIs;
using ::testing::HasSubstr;

TEST(ComputeDeviceTest, SaysWhatWasAskedAndWhatThereIs) {
  ASSERT_OK_AND_ASSIGN(const ComputeDevice cpu, ChooseDevice("cpu"));
  EXPECT_EQ(cpu.name, "cpu");
  ASSERT_OK_AND_ASSIGN(const ComputeDevice chosen, ChooseDevice("auto"));
  EXPECT_THAT(chosen.reason, HasSubstr("asked for auto; LibTorch"));
}

TEST(ComputeDeviceTest, WithoutAGpuCudaIsRefused) {
  ASSERT_OK_AND_ASSIGN(const ComputeDevice chosen, ChooseDevice("auto"));
  if (chosen.name == "cuda") {
    GTEST_SKIP() << "there is a GPU";
  }
  EXPECT_THAT(ChooseDevice("cuda"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("want auto or cpu")));
}

TEST(ComputeDeviceTest, RefusesNamesOfNoDevice) {
  EXPECT_THAT(ChooseDevice("gpu"), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("'gpu'")));
  EXPECT_THAT(ChooseDevice(""), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("auto, cpu or cuda")));
}

}  // namespace
}  // namespace demorl
