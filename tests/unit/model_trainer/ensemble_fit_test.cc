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
  const RowSplit split = SplitRows(1000, {.seed = 5});
  EXPECT_EQ(split.holdout.size(), 200);
  std::set<int64_t> all(split.holdout.begin(), split.holdout.end());
  all.insert(split.training.begin(), split.training.end());
  EXPECT_EQ(split.training.size(), 800);
  EXPECT_EQ(all.size(), 1000);
  EXPECT_EQ(*all.rbegin(), 999);
  EXPECT_FALSE(std::is_sorted(split.holdout.begin(), split.holdout.end()));
  EXPECT_NE(SplitRows(1000, {.seed = 6}).holdout, split.holdout);
}

TEST(SplitRowsTest, HoldoutIsCappedAndNeitherPartEmpty) {
  EXPECT_EQ(SplitRows(40000, {}).holdout.size(), 5000);
  EXPECT_EQ(SplitRows(2, {}).holdout.size(), 1);
  EXPECT_EQ(SplitRows(2, {.holdout_ratio = 0.9}).training.size(), 1);
}

TEST(BootstrapRowsTest, DrawsTrainingRowsOnlyWithRepetition) {
  Random random(1);
  const RowSplit split = SplitRows(1000, {.seed = 5});
  const std::set<int64_t> allowed(split.training.begin(), split.training.end());
  const auto drawn = BootstrapRows(split.training, 3, random);
  ASSERT_EQ(drawn.size(), 3);
  EXPECT_NE(drawn[0], drawn[1]);
  for (const std::vector<int64_t>& member : drawn) {
    EXPECT_EQ(member.size(), 800);
    const std::set<int64_t> distinct(member.begin(), member.end());
    EXPECT_TRUE(std::includes(allowed.begin(), allowed.end(), distinct.begin(), distinct.end()));
    // A share of 1 - 1/e of the rows is drawn.
    EXPECT_NEAR(static_cast<double>(distinct.size()) / 800, 0.632, 0.05);
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
                                       targets_.index_select(0, index));
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
  const FitOptions options = {.batch_size = 32, .patience = 3, .seed = 3};
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
  EXPECT_EQ(result.report.passes, static_cast<int>(result.history.size()));
  EXPECT_EQ(result.report.passes, last_improvement + 1 + 4);
  EXPECT_EQ(result.report.gradient_steps, result.report.passes * 8);  // 240 rows, batches of 32
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
  targets_.index_fill_(0, ToTensor(split.training, {240}), INFINITY);
  EXPECT_THAT(FitEnsemble(inputs_, targets_, options, &ensemble_),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("training loss")));
  EXPECT_EQ(EncodeTorchState(ensemble_.State()), before);
}

}  // namespace
}  // namespace demorl
