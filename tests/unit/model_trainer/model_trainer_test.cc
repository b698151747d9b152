#include "services/model_trainer/core/model_trainer.h"

#include <cmath>
#include <limits>
#include <memory>
#include <vector>

#include "common/base/random.h"
#include "common/env/registry.h"
#include "common/rl/ensemble_inference.h"
#include "gtest/gtest.h"
#include "services/model_trainer/core/row_mirror.h"
#include "tests/testing/status_matchers.h"

namespace demorl {
namespace {

using ::demorl::testing::StatusIs;
using ::testing::HasSubstr;

constexpr int kObservation = 2, kAction = 1;

// One episode of a damped point mass that is pushed about at random.
TransitionChunk MakeChunk(Random& random, int steps, bool terminated = false) {
  TransitionChunk chunk{.observation_size = kObservation, .action_size = kAction};
  Segment segment;
  segment.num_steps = steps;
  segment.terminated = terminated;
  float position = static_cast<float>(random.Normal()), speed = static_cast<float>(random.Normal());
  segment.observations = {position, speed};
  for (int step = 0; step < steps; ++step) {
    const float push = static_cast<float>(random.Uniform(-1, 1));
    position += 0.1f * speed;
    speed = 0.95f * speed + 0.3f * push;
    segment.observations.insert(segment.observations.end(), {position, speed});
    segment.actions.push_back(push);
    segment.rewards.push_back(speed - 0.1f * push * push);
    segment.policy_versions.push_back(1);
  }
  chunk.segments.push_back(segment);
  return chunk;
}

ModelTrainer::Options SmallOptions() {
  ModelTrainer::Options options;
  options.observation_size = kObservation;
  options.action_size = kAction;
  options.seed = 9;
  options.config.set_ensemble_size(3);
  options.config.set_num_elite_members(2);
  options.config.add_hidden_sizes(32);
  options.config.add_hidden_sizes(32);
  options.config.set_batch_size(32);
  options.config.set_max_passes(8);
  return options;
}

std::unique_ptr<ModelTrainer> MakeTrainer(const ModelTrainer::Options& options, int episodes = 12,
                                          uint64_t seed = 1) {
  auto trainer = ModelTrainer::Create(options);
  EXPECT_OK(trainer);
  Random random(seed);
  for (int i = 0; i < episodes; ++i) {
    EXPECT_OK((*trainer)->AddRows(MakeChunk(random, 25, i % 3 == 0)));
  }
  return *std::move(trainer);
}

std::string Payload(const ModelTrainer& trainer) { return EncodeSafetensors(trainer.DynamicsTensors()); }

TEST(RowMirrorTest, KeepsTheNewestRowsInOrder) {
  Random random(1);
  RowMirror mirror(kObservation, kAction, 50);
  RowMirror reference(kObservation, kAction, 1000);
  for (int i = 0; i < 12; ++i) {
    const TransitionChunk chunk = MakeChunk(random, 13, true);
    ASSERT_OK(mirror.Add(chunk));
    ASSERT_OK(reference.Add(chunk));
    const int64_t rows = std::min(50, 13 * (i + 1));
    ASSERT_EQ(mirror.num_rows(), rows);
    EXPECT_EQ(mirror.num_dropped(), 13 * (i + 1) - rows);
    EXPECT_EQ(reference.num_dropped(), 0);
    const auto same = [&](auto kept, auto all, int64_t width) {
      ASSERT_EQ(kept.size(), rows * width);
      EXPECT_TRUE(std::equal(kept.rbegin(), kept.rend(), all.rbegin()));
    };
    same(mirror.inputs(), reference.inputs(), kObservation + kAction);
    same(mirror.targets(), reference.targets(), 1 + kObservation);
    same(mirror.terminated(), reference.terminated(), 1);
  }
}

TEST(RowMirrorTest, ARowIsObservationActionRewardAndChange) {
  RowMirror mirror(2, 1, 10);
  TransitionChunk chunk{.observation_size = 2, .action_size = 1};
  chunk.segments.push_back({.num_steps = 2,
                            .observations = {1, 2, 4, 8, 16, 32},
                            .actions = {0.5f, -0.5f},
                            .rewards = {7, 9},
                            .terminated = true});
  ASSERT_OK(mirror.Add(chunk));
  const auto vector = [](auto span) { return std::vector(span.begin(), span.end()); };
  EXPECT_EQ(vector(mirror.inputs()), (std::vector<float>{1, 2, 0.5f, 4, 8, -0.5f}));
  EXPECT_EQ(vector(mirror.targets()), (std::vector<float>{7, 3, 6, 9, 12, 24}));
  EXPECT_EQ(vector(mirror.terminated()), (std::vector<uint8_t>{0, 1}));
  EXPECT_EQ(mirror.NextObservations(), (std::vector<float>{4, 8, 16, 32}));
}

TEST(RowMirrorTest, RefusesChunksOfOtherShapes) {
  Random random(1);
  RowMirror mirror(3, kAction, 50);
  EXPECT_THAT(mirror.Add(MakeChunk(random, 5)),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("observations of 2")));
  RowMirror other(kObservation, kAction, 50);
  TransitionChunk chunk = MakeChunk(random, 5);
  chunk.segments.push_back(chunk.segments.front());
  chunk.segments.back().rewards.pop_back();
  EXPECT_THAT(other.Add(chunk), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("4 rewards")));
  EXPECT_EQ(other.num_rows(), 0);
}

TEST(ModelTrainerTest, PredictsWhatItWasTrainedOn) {
  ModelTrainer::Options options = SmallOptions();
  options.config.set_max_passes(60);
  const auto trainer = MakeTrainer(options, 40);
  ASSERT_OK_AND_ASSIGN(const TrainingReport report, trainer->Train());
  EXPECT_EQ(report.rows, 1000);
  EXPECT_NEAR(report.holdout_rows, 200, 40);
  EXPECT_EQ(trainer->num_trainings(), 1);
  ASSERT_EQ(report.elite_members.size(), 2);
  ASSERT_OK_AND_ASSIGN(const auto model,
                       EnsembleInference::FromTensors(trainer->DynamicsTensors(), kObservation, kAction));
  EXPECT_EQ(model->elite_members(), report.elite_members);
  EXPECT_FALSE(model->learned_termination());
  ModelStepResult result;
  ASSERT_OK(model->Step(std::vector<float>{0.5f, 0.4f}, std::vector<float>{-0.5f}, std::vector<int>{0}, {},
                        &result));
  EXPECT_NEAR(result.next_observations[0], 0.54, 0.02);
  EXPECT_NEAR(result.next_observations[1], 0.23, 0.03);
  EXPECT_NEAR(result.rewards[0], 0.23 - 0.025, 0.03);
}

TEST(ModelTrainerTest, TheSameSeedAndRowsGiveTheSameBits) {
  const auto one = MakeTrainer(SmallOptions()), two = MakeTrainer(SmallOptions());
  ASSERT_OK(one->Train());
  ASSERT_OK(two->Train());
  EXPECT_EQ(Payload(*one), Payload(*two));
  ModelTrainer::Options other = SmallOptions();
  other.seed = 10;
  const auto three = MakeTrainer(other);
  ASSERT_OK(three->Train());
  EXPECT_NE(Payload(*one), Payload(*three));
}

TEST(ModelTrainerTest, ARestoredTrainerContinuesBitByBit) {
  for (const bool warm_start : {true, false}) {
    ModelTrainer::Options options = SmallOptions();
    options.learn_termination = true;
    options.config.set_warm_start(warm_start);
    const auto trainer = MakeTrainer(options);
    ASSERT_OK(trainer->Train());
    const std::string state = trainer->SaveState();
    const auto restored = MakeTrainer(options);
    ASSERT_OK(restored->RestoreState(state));
    EXPECT_EQ(restored->SaveState(), state);
    EXPECT_EQ(Payload(*restored), Payload(*trainer));
    ASSERT_OK(trainer->Train());
    ASSERT_OK(restored->Train());
    EXPECT_EQ(restored->SaveState(), trainer->SaveState());
    EXPECT_EQ(restored->num_trainings(), 2);
  }
}

TEST(ModelTrainerTest, WarmStartGoesOnFromTheWeightsOfBefore) {
  ModelTrainer::Options options = SmallOptions();
  options.config.set_max_passes(1);
  const auto first_errors = [&](bool warm_start) {
    options.config.set_warm_start(warm_start);
    const auto trainer = MakeTrainer(options);
    double error = 0;
    for (int i = 0; i < 12; ++i) {
      const auto report = trainer->Train();
      EXPECT_OK(report);
      error = report->holdout_errors[0];
    }
    return error;
  };
  EXPECT_LT(first_errors(true), 0.5 * first_errors(false));
}

TEST(ModelTrainerTest, RowsThatAreNotFiniteKeepTheOldWeights) {
  ModelTrainer::Options options = SmallOptions();
  options.config.set_max_non_finite(2);
  const auto trainer = MakeTrainer(options);
  ASSERT_OK(trainer->Train());
  const std::string before = Payload(*trainer);
  Random random(4);
  TransitionChunk chunk = MakeChunk(random, 25);
  chunk.segments[0].rewards.assign(25, std::numeric_limits<float>::quiet_NaN());
  ASSERT_OK(trainer->AddRows(chunk));
  EXPECT_THAT(trainer->Train(), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("finite")));
  EXPECT_EQ(Payload(*trainer), before);
  EXPECT_THAT(trainer->Train(), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("2 trainings")));
  EXPECT_EQ(Payload(*trainer), before);
  EXPECT_EQ(trainer->num_trainings(), 1);
}

TEST(ModelTrainerTest, StopsBetweenBatches) {
  ModelTrainer::Options options = SmallOptions();
  int asked = 0;
  options.should_stop = [&] { return ++asked > 3; };
  const auto trainer = MakeTrainer(options);
  const std::string before = trainer->SaveState();
  EXPECT_THAT(trainer->Train(), StatusIs(absl::StatusCode::kCancelled, HasSubstr("stopped")));
  EXPECT_EQ(asked, 4);
  EXPECT_EQ(trainer->SaveState(), before);
}

TEST(ModelTrainerTest, RefusesWhatCannotBe) {
  auto trainer = ModelTrainer::Create(SmallOptions());
  ASSERT_OK(trainer);
  EXPECT_THAT((*trainer)->Train(), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("2 rows")));
  ModelTrainer::Options options = SmallOptions();
  options.config.set_num_elite_members(4);
  EXPECT_THAT(ModelTrainer::Create(options),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("num_elite_members is 4")));
  options = SmallOptions();
  options.config.add_weight_decay(1e-4);
  EXPECT_THAT(ModelTrainer::Create(options),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("one per layer, 3")));
  options = SmallOptions();
  options.config.set_log_variance_min(1);
  EXPECT_THAT(ModelTrainer::Create(options),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("log_variance_min")));
  options = SmallOptions();
  options.device = "abacus";
  EXPECT_THAT(ModelTrainer::Create(options),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("abacus")));
  options = SmallOptions();
  options.config.set_ensemble_size(4);
  EXPECT_THAT((*trainer)->RestoreState(MakeTrainer(options)->SaveState()),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("ensemble.")));
  EXPECT_THAT((*trainer)->RestoreState("no state"),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("state")));
}

TEST(ModelTrainerTest, LearnsTerminationsWhereThereIsNoRule) {
  ModelTrainer::Options options = SmallOptions();
  options.learn_termination = true;
  auto trainer = ModelTrainer::Create(options);
  ASSERT_OK(trainer);
  Random random(2);
  for (int i = 0; i < 400; ++i) {  // an episode ends where the position passes 1
    TransitionChunk chunk = MakeChunk(random, 1);
    chunk.segments[0].terminated = chunk.segments[0].observations[2] > 1;
    ASSERT_OK((*trainer)->AddRows(chunk));
  }
  ASSERT_OK((*trainer)->Train());
  ASSERT_OK_AND_ASSIGN(const auto model,
                       EnsembleInference::FromTensors((*trainer)->DynamicsTensors(), kObservation, kAction));
  EXPECT_TRUE(model->learned_termination());
  ModelStepResult result;
  ASSERT_OK(model->Step(std::vector<float>{0, 0, 2, 0, -1, 1}, std::vector<float>{0, 0, 0},
                        std::vector<int>{0, 1, 0}, {}, &result));
  EXPECT_EQ(result.terminated, (std::vector<uint8_t>{0, 1, 0}));
}

// Transitions of random actions, one per segment, from several episodes.
TransitionChunk CollectRandomly(Environment& environment, int episodes, int steps, Random& random) {
  const EnvironmentSpec& spec = environment.spec();
  TransitionChunk chunk{.observation_size = spec.observation_size, .action_size = spec.action_size};
  for (int episode = 0; episode < episodes; ++episode) {
    Timestep timestep = environment.Reset();
    for (int step = 0; step < steps; ++step) {
      Segment segment{.num_steps = 1};
      segment.observations.assign(timestep.observation.begin(), timestep.observation.end());
      std::vector<double> action(spec.action_size);
      for (double& value : action) {
        value = random.Uniform(-1, 1);
        segment.actions.push_back(static_cast<float>(value));
      }
      timestep = environment.Step(action);
      segment.rewards.push_back(static_cast<float>(timestep.reward));
      segment.observations.insert(segment.observations.end(), timestep.observation.begin(),
                                  timestep.observation.end());
      chunk.segments.push_back(std::move(segment));
    }
  }
  return chunk;
}

// Real dynamics: 2,000 random transitions of HalfCheetah, judged on 500 others.
TEST(ModelTrainerTest, ExplainsHalfCheetah) {
  ASSERT_OK_AND_ASSIGN(const auto environment, MakeEnvironment("HalfCheetah-v5", 3));
  Random random(5);
  TransitionChunk training = CollectRandomly(*environment, 10, 250, random);
  std::vector<Segment> segments = std::move(training.segments);
  training.segments.clear();
  TransitionChunk fresh = training;
  for (Segment& segment : segments) {
    (random.Index(5) == 0 ? fresh : training).segments.push_back(std::move(segment));
  }
  ModelTrainer::Options options;
  options.observation_size = training.observation_size;
  options.action_size = training.action_size;
  options.config.set_ensemble_size(2);
  options.config.set_num_elite_members(1);
  ASSERT_OK_AND_ASSIGN(const auto trainer, ModelTrainer::Create(options));
  ASSERT_OK(trainer->AddRows(training));
  ASSERT_OK_AND_ASSIGN(const TrainingReport report, trainer->Train());

  RowMirror mirror(fresh.observation_size, fresh.action_size, 1000);
  ASSERT_OK(mirror.Add(fresh));
  const int rows = static_cast<int>(mirror.num_rows()), outputs = 1 + fresh.observation_size;
  std::vector<float> observations, actions;
  for (const Segment& segment : fresh.segments) {
    observations.insert(observations.end(), segment.observations.begin(),
                        segment.observations.begin() + fresh.observation_size);
    actions.insert(actions.end(), segment.actions.begin(), segment.actions.end());
  }
  ASSERT_OK_AND_ASSIGN(
      const auto model,
      EnsembleInference::FromTensors(trainer->DynamicsTensors(), fresh.observation_size, fresh.action_size));
  ModelStepResult result;
  ASSERT_OK(model->Step(observations, actions, std::vector<int>(rows, 0), {}, &result));
  int explained = 0;
  double variance = 0;
  for (int output = 0; output < outputs; ++output) {
    double error = 0, sum = 0, squares = 0;
    for (int row = 0; row < rows; ++row) {
      const double target = mirror.targets()[row * outputs + output];
      const int at = row * fresh.observation_size + output - 1;
      const double predicted =
          output == 0 ? result.rewards[row] : result.next_observations[at] - observations[at];
      error += (predicted - target) * (predicted - target);
      sum += target;
      squares += target * target;
    }
    const double spread = squares - sum * sum / rows;
    const double share = 1 - error / spread;
    variance += spread / rows / outputs;
    explained += share > 0.85;
    RecordProperty("explained_" + std::to_string(output), std::to_string(share));
    EXPECT_GT(share, 0) << "output " << output;
  }
  EXPECT_GE(explained, 11) << "of " << outputs;
  EXPECT_LT(report.holdout_errors[0], 0.1 * variance);
}

}  // namespace
}  // namespace demorl
