#include "common/rl/sac_losses.h"

#include <cmath>
#include <vector>

#include "common/rl/tanh_gaussian.h"
#include "common/rl/tensor_convert.h"
#include "gtest/gtest.h"

namespace demorl {
namespace {

at::Tensor Doubles(const std::vector<double>& values, at::IntArrayRef shape) {
  return ToTensor<double>(values, shape);
}

TEST(TanhGaussianTest, TheDensityIntegratesToOneOverActions) {
  // One dimension; the density of an action is reached through the noise that gives it.
  for (const auto& [mean, stddev] : {std::pair{0.3, 0.7}, {-1.0, 0.4}, {0.0, 1.5}}) {
    double integral = 0;
    constexpr int kCells = 200000;
    std::vector<double> noise(kCells), means(kCells, mean), log_stddevs(kCells, std::log(stddev));
    for (int i = 0; i < kCells; ++i) {
      const double action = -1 + (i + 0.5) * 2.0 / kCells;
      noise[i] = (std::atanh(action) - mean) / stddev;
    }
    const TanhGaussianDraw draw = DrawTanhGaussian(
        Doubles(means, {kCells, 1}), Doubles(log_stddevs, {kCells, 1}), Doubles(noise, {kCells, 1}));
    integral = draw.log_prob_B.exp().sum().item<double>() * 2.0 / kCells;
    EXPECT_NEAR(integral, 1, 1e-3) << mean << " " << stddev;
    EXPECT_NEAR(draw.action_BA[kCells / 4].item<double>(), -0.5, 1e-4);
  }
}

TEST(TanhGaussianTest, TheLogDerivativeOfTanhStaysFiniteFarOut) {
  const at::Tensor values = LogTanhDerivative(ToTensor<float>({0.0f, 1.0f, -1.0f, 50.0f, -50.0f}, {5}));
  EXPECT_NEAR(values[0].item<double>(), 0, 1e-6);
  const double tanh_one = std::tanh(1.0);
  EXPECT_NEAR(values[1].item<double>(), std::log(1 - tanh_one * tanh_one), 1e-6);
  EXPECT_NEAR(values[2].item<double>(), std::log(1 - tanh_one * tanh_one), 1e-6);
  EXPECT_NEAR(values[3].item<double>(), 2 * (M_LN2 - 50), 1e-4);
  EXPECT_NEAR(values[4].item<double>(), 2 * (M_LN2 - 50), 1e-4);
}

TEST(CriticTargetTest, OnlyTerminationStopsBootstrapping) {
  // Row 0 goes on (or was truncated: the same columns), row 1 terminated.
  const at::Tensor target = CriticTarget({.reward_B = Doubles({1, 1}, {2}),
                                          .terminated_B = Doubles({0, 1}, {2}),
                                          .min_next_q_B = Doubles({10, 10}, {2}),
                                          .next_log_prob_B = Doubles({-2, -2}, {2}),
                                          .entropy_temperature = 0.5,
                                          .discount = 0.9,
                                          .reward_scale = 3});
  EXPECT_NEAR(target[0].item<double>(), 3 + 0.9 * (10 + 0.5 * 2), 1e-12);
  EXPECT_NEAR(target[1].item<double>(), 3, 1e-12);
}

TEST(CriticLossTest, IsHalfTheMeanSquareOfEachQAddedUp) {
  const at::Tensor q = Doubles({1, 2, 3, 5}, {2, 2});
  const at::Tensor target = Doubles({0, 4}, {2});
  EXPECT_NEAR(CriticLoss(q, target).item<double>(), 0.5 * (1 + 4) / 2 + 0.5 * (9 + 1) / 2, 1e-12);
  at::Tensor leaf = q.clone().set_requires_grad(true);
  CriticLoss(leaf, target).backward();
  EXPECT_TRUE(at::allclose(CriticLossGradient(q, target), leaf.grad()));
}

TEST(PolicyLossTest, TheWrittenOutDerivativeIsThatOfAutomaticDifferentiation) {
  const double alpha = 0.3;
  const at::Tensor mean = Doubles({0.2, -0.5, 1.1, 0.0, 0.7, -2.0}, {3, 2});
  const at::Tensor log_stddev =
      Doubles({-0.5, 0.1, -3.0, 0.4, 2.5, -1.0}, {3, 2});  // one on either side outside
  const at::Tensor noise = Doubles({0.3, -1.2, 0.5, 2.0, -0.7, 0.1}, {3, 2});
  const at::Tensor slope = Doubles({1.5, -2.0, 0.5, 0.25, -1.0, 3.0}, {3, 2});
  at::Tensor mean_leaf = mean.clone().set_requires_grad(true);
  at::Tensor log_stddev_leaf = log_stddev.clone().set_requires_grad(true);
  const TanhGaussianDraw draw = DrawTanhGaussian(mean_leaf, log_stddev_leaf.clamp(-2, 2), noise);
  const at::Tensor q = (draw.action_BA * slope).sum(1) - draw.action_BA.square().sum(1);
  PolicyLoss(draw.log_prob_B, q, alpha).backward();

  const TanhGaussianDraw detached = DrawTanhGaussian(mean, log_stddev.clamp(-2, 2), noise);
  at::Tensor mean_gradient = at::zeros_like(mean), log_stddev_gradient = at::zeros_like(mean);
  PolicyLossGradient({.action_BA = detached.action_BA,
                      .deviation_BA = detached.deviation_BA,
                      .q_gradient_BA = slope - 2 * detached.action_BA,
                      .log_stddev_BA = log_stddev,
                      .log_stddev_min = -2,
                      .log_stddev_max = 2,
                      .entropy_temperature = alpha},
                     mean_gradient, log_stddev_gradient);
  EXPECT_TRUE(at::allclose(mean_gradient, mean_leaf.grad(), 1e-9, 1e-12))
      << mean_gradient << mean_leaf.grad();
  EXPECT_TRUE(at::allclose(log_stddev_gradient, log_stddev_leaf.grad(), 1e-9, 1e-12));
  EXPECT_EQ(log_stddev_gradient[1][0].item<double>(), 0);
  EXPECT_EQ(log_stddev_gradient[2][0].item<double>(), 0);
}

TEST(TemperatureLossTest, TooLittleEntropyRaisesTheTemperature) {
  // entropy = -mean_log_prob = 1 < target 3: descent must raise log alpha.
  EXPECT_LT(TemperatureLossGradient(-1, 3), 0);
  EXPECT_GT(TemperatureLossGradient(-5, 3), 0);
  const double difference = (TemperatureLoss(0.2 + 1e-6, -1, 3) - TemperatureLoss(0.2 - 1e-6, -1, 3)) / 2e-6;
  EXPECT_NEAR(TemperatureLossGradient(-1, 3), difference, 1e-6);
}

TEST(ValueTargetTest, SubtractsTheWeightedLogProbability) {
  EXPECT_NEAR(ValueTarget(Doubles({4}, {1}), Doubles({-2}, {1}), 0.5).item<double>(), 5, 1e-12);
}

}  // namespace
}  // namespace demorl
