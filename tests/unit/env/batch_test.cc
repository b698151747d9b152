#include "common/env/batch.h"

#include "common/base/random.h"
#include "common/env/registry.h"
#include "gmock/gmock.h"
#include "tests/testing/counting_allocator.h"
#include "tests/testing/status_matchers.h"

namespace demorl {
namespace {

using ::demorl::testing::StatusIs;
using ::testing::HasSubstr;

std::unique_ptr<BatchedEnvironments> MakeBatch(const std::string& id, int num_environments, int num_threads,
                                               uint64_t seed = 17) {
  auto batch = BatchedEnvironments::Create({id, num_environments, num_threads, seed});
  EXPECT_OK(batch);
  return *std::move(batch);
}

std::vector<double> RandomActions(const BatchedEnvironments& batch, Random& random) {
  std::vector<double> actions(batch.size() * batch.spec().action_size);
  for (double& value : actions) {
    value = random.Uniform(-1, 1);
  }
  return actions;
}

// All that a run shows, step by step.
std::vector<double> Trajectory(BatchedEnvironments& batch, int num_steps, uint64_t action_seed) {
  Random random(action_seed);
  std::vector<double> record;
  for (int step = 0; step < num_steps; ++step) {
    for (const Timestep& timestep : batch.Step(RandomActions(batch, random))) {
      record.insert(record.end(), timestep.observation.begin(), timestep.observation.end());
      record.push_back(timestep.reward);
      record.push_back(static_cast<double>(timestep.step_type) + 10 * timestep.terminated +
                       100 * timestep.truncated);
    }
  }
  return record;
}

TEST(BatchedEnvironmentsTest, TrajectoriesDoNotDependOnTheNumberOfThreads) {
  for (const char* id : {"Hopper-v5", "Reacher-v5", "CartpoleSwingUp-v0"}) {
    const auto run = [id](int num_threads, uint64_t seed) {
      const auto batch = MakeBatch(id, 7, num_threads, seed);
      batch->Reset();
      return Trajectory(*batch, 120, 3);
    };
    const std::vector<double> expected = run(1, 17);
    EXPECT_EQ(run(2, 17), expected) << id;
    EXPECT_EQ(run(4, 17), expected) << id;
    EXPECT_NE(run(4, 18), expected) << id;
  }
}

TEST(BatchedEnvironmentsTest, EnvironmentIsTheOneOfItsOwnSeed) {
  const auto batch = MakeBatch("Walker2d-v5", 3, 2);
  const std::span<const Timestep> timesteps = batch->Reset();
  for (int i = 0; i < 3; ++i) {
    ASSERT_OK_AND_ASSIGN(const auto alone, MakeEnvironment("Walker2d-v5", SplitSeed(17, "environment", i)));
    EXPECT_TRUE(std::ranges::equal(alone->Reset().observation, timesteps[i].observation)) << i;
  }
}

TEST(BatchedEnvironmentsTest, StartsAnEpisodeAfterALastStep) {
  const auto batch = MakeBatch("InvertedPendulum-v5", 4, 2);
  batch->Reset();
  Random random(1);
  std::vector<StepType> previous(4, StepType::kFirst);
  int num_starts = 0;
  for (int step = 0; step < 200; ++step) {
    const std::span<const Timestep> timesteps = batch->Step(RandomActions(*batch, random));
    for (int i = 0; i < 4; ++i) {
      const bool starts = timesteps[i].step_type == StepType::kFirst;
      EXPECT_EQ(starts, previous[i] == StepType::kLast);
      EXPECT_EQ(timesteps[i].step_type == StepType::kLast, timesteps[i].terminated || timesteps[i].truncated);
      num_starts += starts;
      previous[i] = timesteps[i].step_type;
    }
  }
  EXPECT_GT(num_starts, 10);
}

TEST(BatchedEnvironmentsTest, ContinuesBitByBitFromASavedState) {
  const auto original = MakeBatch("Hopper-v5", 5, 3), restored = MakeBatch("Hopper-v5", 5, 1, 99);
  original->Reset();
  Trajectory(*original, 37, 1);
  ASSERT_OK(restored->RestoreState(original->SaveState()));
  EXPECT_TRUE(std::ranges::equal(original->observations(), restored->observations()));
  EXPECT_EQ(Trajectory(*restored, 60, 2), Trajectory(*original, 60, 2));
  EXPECT_EQ(original->SaveState(), restored->SaveState());
}

TEST(BatchedEnvironmentsTest, RefusesStatesOfAnotherCountOrTask) {
  const auto batch = MakeBatch("Hopper-v5", 2, 1);
  batch->Reset();
  const auto more = MakeBatch("Hopper-v5", 3, 1), other = MakeBatch("Walker2d-v5", 2, 1);
  EXPECT_THAT(batch->RestoreState(more->SaveState()),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("3 environments for a batch of 2")));
  EXPECT_THAT(batch->RestoreState(other->SaveState()),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("Hopper")));
  std::string cut = batch->SaveState();
  cut.pop_back();
  EXPECT_THAT(batch->RestoreState(cut), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("length")));
}

TEST(BatchedEnvironmentsTest, RefusesCountsBelowOneAndUnknownIds) {
  EXPECT_THAT(BatchedEnvironments::Create({"Hopper-v5", 0, 1, 1}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("at least 1")));
  EXPECT_THAT(BatchedEnvironments::Create({"Hopper-v5", 1, 0, 1}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("at least 1")));
  EXPECT_THAT(BatchedEnvironments::Create({"Hoper-v5", 1, 1, 1}),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("Hopper-v5")));
}

TEST(BatchedEnvironmentsTest, StepsWithoutAllocating) {
  if (!CountsAllocations()) {
    GTEST_SKIP() << "the sanitizer owns the allocator";
  }
  const auto batch = MakeBatch("Ant-v5", 4, 2);
  batch->Reset();
  Random random(1);
  const std::vector<double> actions = RandomActions(*batch, random);
  for (int step = 0; step < 20; ++step) {
    batch->Step(actions);
  }
  const int64_t before = NumAllocations();
  for (int step = 0; step < 100; ++step) {
    batch->Step(actions);
  }
  EXPECT_EQ(NumAllocations(), before);
}

}  // namespace
}  // namespace demorl
