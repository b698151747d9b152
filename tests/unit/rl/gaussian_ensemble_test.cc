#include "common/rl/gaussian_ensemble.h"

#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <vector>

#include "common/rl/ensemble_inference.h"
#include "common/rl/tensor_convert.h"
#include "common/rl/termination_classifier.h"
#include "common/rl/torch_threads.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"

namespace demorl {
namespace {

using ::demorl::testing::StatusIs;
using ::testing::HasSubstr;

at::Tensor Normal(Random& random, at::IntArrayRef shape) {
  at::Tensor tensor = at::empty(shape, at::kFloat);
  random.FillNormal({tensor.data_ptr<float>(), static_cast<size_t>(tensor.numel())});
  return tensor;
}

at::Tensor DrawRows(Random& random, int64_t members, int64_t batch, int64_t rows) {
  std::vector<int64_t> drawn(members * batch);
  for (int64_t& row : drawn) {
    row = static_cast<int64_t>(random.Index(rows));
  }
  return ToTensor(drawn, {members, batch});
}

EnsembleOptions SmallOptions(int64_t inputs, int64_t outputs) {
  return {.num_members = 3,
          .inputs = inputs,
          .outputs = outputs,
          .hidden_sizes = {24, 16},
          .weight_decay = {1e-3, 2e-3, 3e-3}};
}

double LargestDifference(const at::Tensor& a, const at::Tensor& b) {
  return (a - b).abs().max().item<double>();
}

// The whole loss in plain operations that record gradients, from the formulas alone.
at::Tensor ReferenceLoss(const EnsembleOptions& options, const at::Tensor& flat_P, const at::Tensor& inputs,
                         const at::Tensor& targets, const at::Tensor& rows_KB) {
  int64_t offset = 0;
  const auto take = [&](std::vector<int64_t> shape) {
    int64_t count = 1;
    for (const int64_t size : shape) {
      count *= size;
    }
    offset += count;
    return flat_P.narrow(0, offset - count, count).view(shape);
  };
  const int64_t members = options.num_members, d = options.outputs;
  at::Tensor x = inputs.index_select(0, rows_KB.reshape({-1})).view({members, -1, options.inputs});
  const at::Tensor y = targets.index_select(0, rows_KB.reshape({-1})).view({members, -1, d});
  at::Tensor loss = at::zeros({}, flat_P.options());
  for (size_t layer = 0; layer <= options.hidden_sizes.size(); ++layer) {
    const bool last = layer == options.hidden_sizes.size();
    const int64_t width = last ? 2 * d : options.hidden_sizes[layer];
    const at::Tensor weight = take({members, x.size(2), width});
    const at::Tensor bias = take({members, width});
    x = at::matmul(x, weight) + bias.unsqueeze(1);
    if (!last) {
      x = x * at::sigmoid(x);
    }
    loss = loss + 0.5 * options.weight_decay[layer] * weight.square().sum();
  }
  const at::Tensor max = take({d}), min = take({d});
  const at::Tensor below = max - at::log1p(at::exp(max - x.narrow(2, d, d)));
  const at::Tensor log_variance = min + at::log1p(at::exp(below - min));
  const at::Tensor error = x.narrow(2, 0, d) - y;
  loss = loss + (error.square() * at::exp(-log_variance)).flatten(1).mean(1).sum();
  loss = loss + log_variance.flatten(1).mean(1).sum();
  return loss + options.log_variance_bound_penalty * (max - min).sum();
}

TEST(GaussianEnsembleTest, GradientsAgreeWithAutomaticDifferentiation) {
  Random random(3);
  const EnsembleOptions options = SmallOptions(5, 4);
  GaussianEnsemble ensemble(options, random);
  ensemble.parameters().narrow(0, ensemble.parameters().numel() - 4, 4).fill_(-2);  // a bound in reach
  const at::Tensor inputs = Normal(random, {50, 5}), targets = Normal(random, {50, 4});
  const at::Tensor rows = DrawRows(random, 3, 37, 50);
  ensemble.LossAndGradients(inputs, targets, rows);

  at::Tensor parameters = ensemble.parameters().to(at::kDouble).clone();
  parameters.set_requires_grad(true);
  ReferenceLoss(options, parameters, inputs.to(at::kDouble), targets.to(at::kDouble), rows).backward();
  EXPECT_GT(parameters.grad().narrow(0, parameters.numel() - 8, 8).abs().min().item<double>(), 1e-3);
  EXPECT_LT(LargestDifference(ensemble.gradients().to(at::kDouble), parameters.grad()), 1e-5);
}

// One member without hidden units to speak of: the prediction is the output bias.
TEST(GaussianEnsembleTest, LikelihoodAndBoundsAreTheClosedForm) {
  Random random(1);
  EnsembleOptions options = {.num_members = 1,
                             .inputs = 1,
                             .outputs = 1,
                             .hidden_sizes = {2},
                             .weight_decay = {0, 0},
                             .log_variance_max = 0.5,
                             .log_variance_min = -10};
  GaussianEnsemble ensemble(options, random);
  at::Tensor& parameters = ensemble.parameters();
  parameters.narrow(0, 0, parameters.numel() - 2).zero_();
  const auto set_output = [&](double mean, double log_variance) {
    parameters[parameters.numel() - 4] = mean;
    parameters[parameters.numel() - 3] = log_variance;
  };
  const at::Tensor inputs = at::zeros({2, 1}), targets = at::tensor({1.0f, 3.0f}).view({2, 1});
  const at::Tensor rows = at::tensor({int64_t{0}, int64_t{1}}).view({1, 2});
  const auto softplus = [](double x) { return std::log1p(std::exp(x)); };
  for (const double raw : {-100.0, -12.0, -1.0, 0.5, 2.0, 100.0}) {
    set_output(1.5, raw);
    const double below = 0.5 - softplus(0.5 - raw);
    const double bounded = -10 + softplus(below + 10);
    EXPECT_NEAR(ensemble.Predict(inputs).log_variances_KND[0][0][0].item<double>(), bounded, 1e-5);
    EXPECT_GE(bounded, -10);
    EXPECT_LE(bounded, 0.5 + softplus(-10.5) + 1e-9);
    const double expected = (0.25 + 2.25) / 2 * std::exp(-bounded) + bounded;
    EXPECT_NEAR(ensemble.LossAndGradients(inputs, targets, rows), expected, 1e-5 * std::abs(expected));
  }
}

TEST(GaussianEnsembleTest, FixedBoundsStay) {
  Random random(3);
  EnsembleOptions options = SmallOptions(5, 4);
  options.learn_log_variance_bounds = false;
  GaussianEnsemble ensemble(options, random);
  const at::Tensor inputs = Normal(random, {50, 5}), targets = Normal(random, {50, 4});
  const at::Tensor before = ensemble.parameters().clone();
  ensemble.TrainStep(inputs, targets, DrawRows(random, 3, 16, 50));
  const int64_t count = before.numel();
  EXPECT_TRUE(at::equal(before.narrow(0, count - 8, 8), ensemble.parameters().narrow(0, count - 8, 8)));
  EXPECT_FALSE(at::equal(before, ensemble.parameters()));
}

TEST(GaussianEnsembleTest, WeightsStartFromACutNormal) {
  Random random(3);
  GaussianEnsemble ensemble({.inputs = 23, .outputs = 18}, random);
  const at::Tensor first = ensemble.parameters().narrow(0, 0, 7 * 23 * 200);
  const double stddev = 1 / (2 * std::sqrt(23.0));
  EXPECT_LE(first.abs().max().item<double>(), 2 * stddev + 1e-6);
  // A standard normal cut at +-2 has the standard deviation 0.8796.
  EXPECT_NEAR(first.square().mean().sqrt().item<double>(), 0.8796 * stddev, 0.02 * stddev);
}

TEST(GaussianEnsembleTest, NormaliserLeavesConstantColumnsAlone) {
  Random random(3);
  GaussianEnsemble ensemble(SmallOptions(2, 2), random);
  const at::Tensor rows = at::stack({3 + 2 * Normal(random, {1000}), at::full({1000}, 7.0)}, 1);
  ensemble.FitNormaliser(rows, 100 * rows);
  for (const at::Tensor& normalised : {ensemble.Normalise(rows), ensemble.NormaliseTargets(100 * rows)}) {
    EXPECT_NEAR(normalised.select(1, 0).mean().item<double>(), 0, 1e-4);
    EXPECT_NEAR(normalised.select(1, 0).square().mean().item<double>(), 1, 1e-4);
    EXPECT_EQ(normalised.select(1, 1).abs().max().item<double>(), 0);
  }
}

TEST(GaussianEnsembleTest, TargetsStayAsTheyAreWhenAskedTo) {
  Random random(3);
  EnsembleOptions options = SmallOptions(2, 2);
  options.normalise_targets = false;
  GaussianEnsemble ensemble(options, random);
  const at::Tensor rows = 3 + 2 * Normal(random, {1000, 2});
  ensemble.FitNormaliser(rows, rows);
  EXPECT_TRUE(at::equal(ensemble.NormaliseTargets(rows), rows));
  EXPECT_FALSE(at::equal(ensemble.Normalise(rows), rows));
}

// Beside a target a thousand times as wide, the noise of a narrow one is found as fast.
TEST(GaussianEnsembleTest, FindsTheNoiseOfANarrowTargetBesideAWideOne) {
  Random random(5);
  constexpr int64_t kRows = 1000;
  EnsembleOptions options = SmallOptions(4, 2);
  options.hidden_sizes = {64, 64};
  GaussianEnsemble ensemble(options, random);
  const at::Tensor inputs = Normal(random, {kRows, 4}), scale = at::tensor({0.02f, 20.0f});
  const at::Tensor noise = 0.1 * Normal(random, {kRows, 2});
  const at::Tensor targets = (inputs.narrow(1, 0, 2) + noise) * scale;
  ensemble.FitNormaliser(inputs, targets);
  for (int step = 0; step < 400; ++step) {
    ensemble.TrainStep(ensemble.Normalise(inputs), ensemble.NormaliseTargets(targets),
                       DrawRows(random, 3, 128, kRows));
  }
  const GaussianEnsemble::Prediction prediction = ensemble.Predict(ensemble.Normalise(inputs));
  for (const float learned :
       ToVector<float>((0.5 * prediction.log_variances_KND).exp().flatten(0, 1).mean(0))) {
    EXPECT_LT(learned, 0.2);
  }
}

// y = A x + noise with a stddev of its own per output.
TEST(GaussianEnsembleTest, LearnsALinearGaussianSystemWithItsNoise) {
  Random random(5);
  constexpr int64_t kRows = 2000;
  EnsembleOptions options = SmallOptions(4, 3);
  options.hidden_sizes = {64, 64};
  options.weight_decay = {2.5e-5, 5e-5, 1e-4};
  GaussianEnsemble ensemble(options, random);
  const at::Tensor system = Normal(random, {4, 3}), stddev = at::tensor({0.05f, 0.1f, 0.3f});
  const at::Tensor inputs = Normal(random, {kRows, 4});
  const at::Tensor targets = at::mm(inputs, system) + stddev * Normal(random, {kRows, 3});
  ensemble.FitNormaliser(inputs, targets);
  const at::Tensor normalised = ensemble.Normalise(inputs);
  for (int step = 0; step < 1500; ++step) {
    ensemble.TrainStep(normalised, ensemble.NormaliseTargets(targets), DrawRows(random, 3, 128, kRows));
  }
  const at::Tensor fresh = Normal(random, {500, 4});
  const GaussianEnsemble::Prediction prediction = ensemble.Predict(ensemble.Normalise(fresh));
  const at::Tensor target_stddev = targets.std(0, false), target_mean = targets.mean(0);
  const at::Tensor means_KND = prediction.means_KND * target_stddev + target_mean;
  const double error = (means_KND - at::mm(fresh, system)).square().mean().sqrt().item<double>();
  EXPECT_LT(error, 0.12);
  const std::vector<float> learned =
      ToVector<float>((0.5 * prediction.log_variances_KND).exp().flatten(0, 1).mean(0) * target_stddev);
  for (int i = 0; i < 3; ++i) {
    EXPECT_GT(learned[i], 0.6 * stddev[i].item<float>()) << i;
    EXPECT_LT(learned[i], 1.7 * stddev[i].item<float>()) << i;
  }
}

TEST(GaussianEnsembleTest, ANonFiniteLossChangesNothing) {
  Random random(3);
  GaussianEnsemble ensemble(SmallOptions(5, 4), random);
  at::Tensor inputs = Normal(random, {50, 5});
  const at::Tensor targets = Normal(random, {50, 4}), rows = DrawRows(random, 3, 37, 50);
  ensemble.TrainStep(inputs, targets, rows);
  const std::string before = EncodeTorchState(ensemble.State());
  inputs[rows[1][3].item<int64_t>()][2] = std::nan("");
  EXPECT_TRUE(std::isnan(ensemble.TrainStep(inputs, targets, rows)));
  EXPECT_EQ(EncodeTorchState(ensemble.State()), before);
}

TEST(GaussianEnsembleTest, AStateContinuesBitByBit) {
  Random random(3);
  const EnsembleOptions options = SmallOptions(5, 4);
  GaussianEnsemble ensemble(options, random), other(options, random);
  const at::Tensor inputs = Normal(random, {50, 5}), targets = Normal(random, {50, 4});
  ensemble.FitNormaliser(inputs, targets);
  const at::Tensor rows = DrawRows(random, 3, 37, 50);
  ensemble.TrainStep(inputs, targets, rows);
  ASSERT_OK(other.SetState(ensemble.State()));
  ensemble.TrainStep(inputs, targets, rows);
  other.TrainStep(inputs, targets, rows);
  EXPECT_EQ(EncodeTorchState(other.State()), EncodeTorchState(ensemble.State()));
}

class EnsembleInferenceTest : public ::testing::Test {
 protected:
  static constexpr int kObservation = 3, kAction = 2, kRows = 1500;

  EnsembleInferenceTest() : ensemble_(WideOptions(), random_) {
    observations_ = Normal(random_, {kRows, kObservation});
    actions_ = Normal(random_, {kRows, kAction});
    inputs_ = at::cat({observations_, actions_}, 1);
    const at::Tensor targets = at::cat({5 + 0.01 * Normal(random_, {kRows, 1}), observations_}, 1);
    target_mean_ = targets.mean(0);
    target_stddev_ = targets.std(0, false);
    ensemble_.FitNormaliser(inputs_ * 3 + 1, targets);
    ensemble_.Export(&file_);
    file_.metadata["elite_members"] = "2,0";
  }

  static EnsembleOptions WideOptions() {
    EnsembleOptions options = SmallOptions(kObservation + kAction, 1 + kObservation);
    options.hidden_sizes = {200, 200};
    return options;
  }

  ModelStepResult Step(const std::vector<int>& members, const std::vector<float>& draws) {
    auto inference = EnsembleInference::FromTensors(file_, kObservation, kAction);
    EXPECT_OK(inference);
    ModelStepResult result;
    EXPECT_OK((*inference)
                  ->Step(ToVector<float>(observations_), ToVector<float>(actions_), members, draws, &result));
    return result;
  }

  Random random_{11};
  GaussianEnsemble ensemble_;
  at::Tensor observations_, actions_, inputs_, target_mean_, target_stddev_;
  TensorFile file_;
};

TEST_F(EnsembleInferenceTest, RowsOfMixedMembersAreThoseOfEachMemberAlone) {
  std::vector<int> members(kRows);
  for (int& member : members) {
    member = static_cast<int>(random_.Index(2));
  }
  const at::Tensor draws = Normal(random_, {kRows, 1 + kObservation});
  const GaussianEnsemble::Prediction all = ensemble_.Predict(ensemble_.Normalise(inputs_));
  const int elites[] = {2, 0};
  for (const bool sampled : {false, true}) {
    const ModelStepResult result = Step(members, sampled ? ToVector<float>(draws) : std::vector<float>());
    for (int row = 0; row < kRows; row += 7) {
      const int member = elites[members[row]];
      at::Tensor expected = all.means_KND[member][row].clone();
      if (sampled) {
        expected += draws[row] * (0.5 * all.log_variances_KND[member][row]).exp();
      }
      expected = expected * target_stddev_ + target_mean_;
      EXPECT_NEAR(result.rewards[row], expected[0].item<float>(), 1e-5);
      for (int i = 0; i < kObservation; ++i) {
        EXPECT_NEAR(result.next_observations[row * kObservation + i],
                    (observations_[row][i] + expected[1 + i]).item<float>(), 1e-5);
      }
      EXPECT_EQ(result.terminated[row], 0);
    }
  }
}

TEST_F(EnsembleInferenceTest, ARowDoesNotDependOnItsNeighbours) {
  const ModelStepResult together = Step(std::vector<int>(kRows, 1), {});
  auto inference = EnsembleInference::FromTensors(file_, kObservation, kAction);
  ASSERT_OK(inference);
  const std::vector<float> observations = ToVector<float>(observations_), actions = ToVector<float>(actions_);
  for (const int count : {1, 3, 17, 100}) {
    ModelStepResult alone;
    const int first = 5;
    ASSERT_OK((*inference)
                  ->Step(std::span(observations).subspan(first * kObservation, count * kObservation),
                         std::span(actions).subspan(first * kAction, count * kAction),
                         std::vector<int>(count, 1), {}, &alone));
    for (int i = 0; i < count; ++i) {
      ASSERT_EQ(alone.rewards[i], together.rewards[first + i]) << count << " " << i;
    }
  }
}

TEST_F(EnsembleInferenceTest, ExportedTensorsSurviveTheFileFormat) {
  const ModelStepResult before = Step(std::vector<int>(kRows, 0), {});
  ASSERT_OK_AND_ASSIGN(file_, DecodeSafetensors(EncodeSafetensors(file_)));
  const ModelStepResult after = Step(std::vector<int>(kRows, 0), {});
  EXPECT_EQ(after.rewards, before.rewards);
  EXPECT_EQ(after.next_observations, before.next_observations);
}

TEST_F(EnsembleInferenceTest, DisagreementIsTheSpreadOfTheElites) {
  auto inference = EnsembleInference::FromTensors(file_, kObservation, kAction);
  ASSERT_OK(inference);
  std::vector<float> disagreement;
  ASSERT_OK(
      (*inference)->Disagreement(ToVector<float>(observations_), ToVector<float>(actions_), &disagreement));
  const at::Tensor means = ensemble_.Predict(ensemble_.Normalise(inputs_)).means_KND * target_stddev_;
  const std::vector<float> expected =
      ToVector<float>((0.5 * (means[2] - means[0])).square().mean(1).sqrt());  // of two values
  ASSERT_EQ(disagreement.size(), expected.size());
  for (int row = 0; row < kRows; ++row) {
    ASSERT_NEAR(disagreement[row], expected[row], 1e-4);
  }
}

TEST_F(EnsembleInferenceTest, RefusesTensorsThatDoNotFit) {
  const auto load = [](const TensorFile& file) {
    return EnsembleInference::FromTensors(file, kObservation, kAction).status();
  };
  EXPECT_OK(load(file_));
  EXPECT_THAT(EnsembleInference::FromTensors(file_, kObservation + 1, kAction),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("ensemble.0.weight")));
  TensorFile broken = file_;
  broken.metadata["elite_members"] = "2,3";
  EXPECT_THAT(load(broken), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("from 0 to 2")));
  broken = file_;
  broken.tensors["ensemble.1.bias"].values[0] = std::nanf("");
  EXPECT_THAT(load(broken), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("ensemble.1.bias")));
  broken = file_;
  broken.tensors.erase("log_variance_max");
  EXPECT_FALSE(load(broken).ok());
  EXPECT_THAT(EnsembleInference::FromTensors(file_, kObservation, kAction, "tpu"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("tpu")));
}

class TerminationClassifierTest : public ::testing::Test {
 protected:
  static double Accuracy(const std::vector<uint8_t>& a, const std::vector<uint8_t>& b) {
    int equal = 0;
    for (size_t i = 0; i < a.size(); ++i) {
      equal += a[i] == b[i];
    }
    return static_cast<double>(equal) / static_cast<double>(a.size());
  }
  // Terminated where x0 + 2 x1 > limit, in units far from 1.
  static std::vector<uint8_t> HalfSpace(const at::Tensor& x, double limit) {
    return ToVector<uint8_t>((x.select(1, 0) + 2 * (x.select(1, 1) / 100 - 5) > limit).to(at::kByte));
  }
  at::Tensor Draw(int64_t rows) {
    at::Tensor x = Normal(random_, {rows, 3});
    x.select(1, 1).add_(5).mul_(100);
    return x;
  }
  Random random_{13};
};

TEST_F(TerminationClassifierTest, LearnsAHalfSpaceFromFewTerminations) {
  TerminationClassifier classifier(3);
  const at::Tensor x = Draw(3000), fresh = Draw(2000);
  const std::vector<uint8_t> terminated = HalfSpace(x, 3);  // about 9 %
  ASSERT_OK(classifier.Fit(x, terminated, {.seed = 4}));
  EXPECT_GT(Accuracy(classifier.Predict(fresh), HalfSpace(fresh, 3)), 0.97);
}

TEST_F(TerminationClassifierTest, IsConstantWithoutBothKinds) {
  TerminationClassifier classifier(3);
  const at::Tensor x = Draw(500);
  ASSERT_OK(classifier.Fit(x, HalfSpace(x, 1), {.seed = 4}));
  ASSERT_OK(classifier.Fit(x, std::vector<uint8_t>(500, 0), {.seed = 4}));
  EXPECT_EQ(classifier.Predict(x * 100), std::vector<uint8_t>(500, 0));
}

TEST_F(TerminationClassifierTest, StaysAsItWasWhenStoppedOrNotFinite) {
  TerminationClassifier classifier(3);
  at::Tensor x = Draw(500);
  const std::vector<uint8_t> terminated = HalfSpace(x, 1);
  ASSERT_OK(classifier.Fit(x, terminated, {.seed = 4}));
  const std::vector<uint8_t> before = classifier.Predict(x);
  EXPECT_THAT(classifier.Fit(x, terminated, {.seed = 5, .should_stop = [] { return true; }}),
              StatusIs(absl::StatusCode::kCancelled, HasSubstr("stopped")));
  at::Tensor damaged = x.clone();
  damaged[7][0] = std::nan("");
  EXPECT_THAT(classifier.Fit(damaged, terminated, {.seed = 5}),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("finite")));
  EXPECT_EQ(classifier.Predict(x), before);
}

TEST_F(TerminationClassifierTest, ItsSnapshotAnswersAlike) {
  GaussianEnsemble ensemble(SmallOptions(4, 4), random_);
  ensemble.parameters().zero_();  // predicts no change
  TerminationClassifier classifier(3);
  const at::Tensor x = Draw(1000);
  ASSERT_OK(classifier.Fit(x, HalfSpace(x, 1), {.seed = 4}));
  TensorFile file;
  ensemble.Export(&file);
  classifier.Export(&file);
  file.metadata["elite_members"] = "0";
  ASSERT_OK_AND_ASSIGN(const auto inference, EnsembleInference::FromTensors(file, 3, 1));
  EXPECT_TRUE(inference->learned_termination());
  ModelStepResult result;
  ASSERT_OK(inference->Step(ToVector<float>(x), std::vector<float>(1000, 0), std::vector<int>(1000, 0), {},
                            &result));
  EXPECT_EQ(result.terminated, classifier.Predict(x));
}

}  // namespace
}  // namespace demorl
