#include "services/model_trainer/core/ensemble_fit.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <vector>

#include "common/rl/tensor_convert.h"
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

TEST(SplitRowsTest, PartsAreDisjointAndComplete) {
  const RowSplit split = SplitRows(1000, {.holdout_seed = 5});
  EXPECT_NEAR(split.holdout.size(), 200, 40);
  std::set<int64_t> all(split.holdout.begin(), split.holdout.end());
  all.insert(split.training.begin(), split.training.end());
  EXPECT_EQ(split.training.size() + split.holdout.size(), 1000);
  EXPECT_EQ(all.size(), 1000);
  EXPECT_EQ(*all.rbegin(), 999);
  EXPECT_NE(SplitRows(1000, {.holdout_seed = 6}).holdout, split.holdout);
}

TEST(SplitRowsTest, ARowThatWasHeldOutStaysSo) {
  const RowSplit before = SplitRows(1000, {.seed = 1, .holdout_seed = 5});
  const RowSplit after = SplitRows(1500, {.seed = 2, .holdout_seed = 5});
  EXPECT_TRUE(std::includes(after.holdout.rbegin(), after.holdout.rend(), before.holdout.rbegin(),
                            before.holdout.rend()));
  // Rows 100 to 999, after the oldest hundred was dropped.
  const RowSplit dropped = SplitRows(900, {.holdout_seed = 5, .first_row = 100});
  for (const int64_t row : dropped.holdout) {
    EXPECT_TRUE(std::count(before.holdout.begin(), before.holdout.end(), row + 100)) << row;
  }
}

TEST(SplitRowsTest, HoldoutIsCappedAndNeitherPartEmpty) {
  EXPECT_EQ(SplitRows(40000, {}).holdout.size(), 5000);
  for (uint64_t seed = 0; seed < 20; ++seed) {
    EXPECT_EQ(SplitRows(2, {.holdout_seed = seed}).holdout.size(), 1);
    EXPECT_EQ(SplitRows(2, {.holdout_ratio = 0.9, .holdout_seed = seed}).training.size(), 1);
  }
}

TEST(BootstrapRowsTest, DrawsTrainingRowsOnlyWithRepetition) {
  Random random(1);
  const RowSplit split = SplitRows(1000, {.holdout_seed = 5});
  const std::set<int64_t> allowed(split.training.begin(), split.training.end());
  const auto drawn = BootstrapRows(split.training, 3, random);
  ASSERT_EQ(drawn.size(), 3);
  EXPECT_NE(drawn[0], drawn[1]);
  for (const std::vector<int64_t>& member : drawn) {
    EXPECT_EQ(member.size(), split.training.size());
    const std::set<int64_t> distinct(member.begin(), member.end());
    EXPECT_TRUE(std::includes(allowed.begin(), allowed.end(), distinct.begin(), distinct.end()));
    // A share of 1 - 1/e of the rows is drawn.
    EXPECT_NEAR(static_cast<double>(distinct.size()) / split.training.size(), 0.632, 0.05);
  }
}

class FitEnsembleTest : public ::testing::Test {
 protected:
  FitEnsembleTest() : ensemble_(Options(), random_) {
    inputs_ = Normal(random_, {300, 3});
    targets_ = at::mm(inputs_, Normal(random_, {3, 2})).tanh() + 0.3 * Normal(random_, {300, 2});
  }
  static EnsembleOptions Options() {
    return {.num_members = 3,
            .inputs = 3,
            .outputs = 2,
            .hidden_sizes = {64, 64},
            .weight_decay = {0, 0, 0},
            .learning_rate = 5e-3};
  }
  std::vector<double> HoldoutErrors(const FitOptions& options) {
    const std::vector<int64_t> rows = SplitRows(300, options).holdout;
    const at::Tensor index = ToTensor(rows, {static_cast<int64_t>(rows.size())});
    return ensemble_.MeanSquaredErrors(ensemble_.Normalise(inputs_.index_select(0, index)),
                                       ensemble_.NormaliseTargets(targets_.index_select(0, index)));
  }

  Random random_{7};
  at::Tensor inputs_, targets_;
  GaussianEnsemble ensemble_;
};

TEST_F(FitEnsembleTest, EndsWithTheBestWeightsThatEachMemberHad) {
  const FitOptions options = {.batch_size = 32, .patience = 8, .num_elite_members = 2, .seed = 3};
  ASSERT_OK_AND_ASSIGN(const FitResult result, FitEnsemble(inputs_, targets_, options, &ensemble_));
  const std::vector<double> errors = HoldoutErrors(options);
  bool overfitted = false;
  for (size_t member = 0; member < 3; ++member) {
    double best = 1e9;
    for (const std::vector<double>& pass : result.history) {
      best = std::min(best, pass[member]);
    }
    EXPECT_EQ(result.report.holdout_errors[member], best);
    EXPECT_EQ(errors[member], best);
    overfitted |= result.history.back()[member] > best;
  }
  EXPECT_TRUE(overfitted) << "the last weights are the best ones, the test shows nothing";
  ASSERT_EQ(result.report.elite_members.size(), 2);
  EXPECT_LE(errors[result.report.elite_members[0]], errors[result.report.elite_members[1]]);
  EXPECT_EQ(errors[result.report.elite_members[0]], *std::min_element(errors.begin(), errors.end()));
}

TEST_F(FitEnsembleTest, StopsAfterMoreThanPatiencePassesWithoutImprovement) {
  const FitOptions options = {.batch_size = 32, .patience = 3, .patience_steps = 0, .seed = 3};
  ASSERT_OK_AND_ASSIGN(const FitResult result, FitEnsemble(inputs_, targets_, options, &ensemble_));
  std::vector<double> reference = result.history.front();
  int last_improvement = 0;
  for (size_t pass = 1; pass < result.history.size(); ++pass) {
    for (size_t member = 0; member < 3; ++member) {
      if (result.history[pass][member] < 0.99 * reference[member]) {
        reference[member] = result.history[pass][member];
        last_improvement = static_cast<int>(pass);
      }
    }
  }
  EXPECT_EQ(result.report.passes + 1, static_cast<int>(result.history.size()));
  EXPECT_EQ(result.report.passes, last_improvement + 4);
  const int batches = (static_cast<int>(SplitRows(300, options).training.size()) + 31) / 32;
  EXPECT_EQ(result.report.gradient_steps, result.report.passes * batches);
}

TEST_F(FitEnsembleTest, APatienceInStepsOutlastsShortPasses) {
  const FitOptions options = {.patience = 1, .patience_steps = 150, .min_improvement = 1, .seed = 3};
  ASSERT_OK_AND_ASSIGN(const FitResult result, FitEnsemble(inputs_, targets_, options, &ensemble_));
  EXPECT_EQ(result.report.passes, 150);  // of one batch
}

TEST_F(FitEnsembleTest, TheOptimiserStartsAnewWithEachTraining) {
  const FitOptions options = {.batch_size = 32, .max_passes = 2, .seed = 3};
  ASSERT_OK(FitEnsemble(inputs_, targets_, options, &ensemble_));
  ASSERT_OK_AND_ASSIGN(const FitResult result, FitEnsemble(inputs_, targets_, options, &ensemble_));
  const TorchState state = ensemble_.State();
  EXPECT_EQ(state.words.at("ensemble.adam.num_steps")[0],
            static_cast<uint64_t>(result.report.gradient_steps));
  ensemble_.ResetOptimiser();
  for (const auto& [name, tensor] : ensemble_.State().tensors) {
    if (name.find("moment") != std::string::npos) {
      EXPECT_EQ(tensor.abs().max().item<float>(), 0) << name;
    }
  }
}

// A warm start on rows of another law ends no worse on the holdout than it began.
TEST_F(FitEnsembleTest, KeepsTheWeightsOfBeforeWhereNothingIsBetter) {
  const FitOptions options = {.batch_size = 32, .max_passes = 30, .seed = 3};
  ASSERT_OK(FitEnsemble(inputs_, targets_, options, &ensemble_));
  const std::vector<double> before = HoldoutErrors(options);
  const RowSplit split = SplitRows(300, options);
  const at::Tensor training = ToTensor(split.training, {static_cast<int64_t>(split.training.size())});
  targets_.index_put_({training}, targets_.index_select(0, training).flip(0));
  ASSERT_OK_AND_ASSIGN(const FitResult result, FitEnsemble(inputs_, targets_, options, &ensemble_));
  const std::vector<double> after = HoldoutErrors(options);
  for (size_t member = 0; member < before.size(); ++member) {
    EXPECT_NEAR(after[member], before[member], 1e-5);  // the normalisers add the same rows in another order
  }
  EXPECT_LT(result.history.front()[0], result.history.back()[0]);
}

TEST_F(FitEnsembleTest, MaxPassesEndsIt) {
  ASSERT_OK_AND_ASSIGN(const FitResult result, FitEnsemble(inputs_, targets_, {.max_passes = 2}, &ensemble_));
  EXPECT_EQ(result.report.passes, 2);
}

TEST_F(FitEnsembleTest, AFailureOrStopLeavesTheEnsembleAsItWas) {
  const std::string before = EncodeTorchState(ensemble_.State());
  int batches = 0;
  const auto stop = [&] { return ++batches > 20; };
  EXPECT_THAT(FitEnsemble(inputs_, targets_, {.batch_size = 32, .should_stop = stop}, &ensemble_),
              StatusIs(absl::StatusCode::kCancelled, HasSubstr("stopped")));
  EXPECT_EQ(batches, 21);
  EXPECT_EQ(EncodeTorchState(ensemble_.State()), before);

  const FitOptions options = {.batch_size = 32, .seed = 3};
  const RowSplit split = SplitRows(300, options);
  targets_[split.holdout[0]][1] = std::nan("");
  EXPECT_THAT(FitEnsemble(inputs_, targets_, options, &ensemble_),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("holdout error")));
  targets_[split.holdout[0]][1] = 0;
  const auto num_training = static_cast<int64_t>(split.training.size());
  targets_.index_fill_(0, ToTensor(split.training, {num_training}), INFINITY);
  EXPECT_THAT(FitEnsemble(inputs_, targets_, options, &ensemble_),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("must be finite")));
  EXPECT_EQ(EncodeTorchState(ensemble_.State()), before);
}

}  // namespace
}  // namespace demorl
