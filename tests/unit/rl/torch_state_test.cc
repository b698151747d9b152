#include "common/rl/torch_state.h"

#include <bit>
#include <cmath>
#include <limits>

#include "common/rl/tensor_convert.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"

namespace demorl {
namespace {

using ::demorl::testing::StatusIs;
using ::testing::HasSubstr;

TorchState MakeState() {
  TorchState state;
  state.tensors["weights"] =
      ToTensor<float>({1.5f, -0.0f, std::numeric_limits<float>::denorm_min(), 4}, {2, 2});
  state.tensors["scale"] = ToTensor<double>({M_PI}, {1});
  state.tensors["empty"] = ToTensor(std::vector<int64_t>(), {0, 3});
  state.words["counters"] = {7, std::bit_cast<uint64_t>(0.1)};
  return state;
}

TEST(TorchStateTest, ComesBackBitByBit) {
  const TorchState state = MakeState();
  const std::string bytes = EncodeTorchState(state);
  ASSERT_OK_AND_ASSIGN(const TorchState decoded, DecodeTorchState(bytes));
  EXPECT_EQ(EncodeTorchState(decoded), bytes);
  EXPECT_TRUE(std::signbit(decoded.tensors.at("weights")[0][1].item<float>()));
  EXPECT_EQ(decoded.tensors.at("scale").item<double>(), M_PI);
  EXPECT_EQ(decoded.tensors.at("empty").sizes(), (std::vector<int64_t>{0, 3}));
  EXPECT_EQ(decoded.words, state.words);
}

TEST(TorchStateTest, EveryCutAndEveryFlippedBitIsFound) {
  const std::string bytes = EncodeTorchState(MakeState());
  for (size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_THAT(DecodeTorchState(bytes.substr(0, size)),
                StatusIs(absl::StatusCode::kDataLoss, HasSubstr("state")));
  }
  for (size_t i = 0; i < bytes.size(); ++i) {
    std::string damaged = bytes;
    damaged[i] = static_cast<char>(damaged[i] ^ 0x10);
    EXPECT_THAT(DecodeTorchState(damaged), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("state"))) << i;
  }
}

TEST(TorchStateTest, LoadsAllTensorsOrNone) {
  const TorchState state = MakeState();
  at::Tensor weights = at::zeros({2, 2}, at::kFloat);
  at::Tensor scale = at::zeros({2}, at::kDouble);
  EXPECT_THAT(
      LoadTensors(state, {{"scale", scale}, {"weights", weights}}),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("scale as Double[1]; needed: Double[2]")));
  EXPECT_THAT(LoadTensors(state, {{"bias", scale}, {"weights", weights}}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("no tensor bias")));
  EXPECT_EQ(weights.abs().sum().item<float>(), 0);
  EXPECT_OK(LoadTensors(state, {{"weights", weights}}));
  EXPECT_EQ(weights[0][0].item<float>(), 1.5f);
  EXPECT_THAT(LoadWords(state, "counters", 3),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("needed: 3")));
}

}  // namespace
}  // namespace demorl
