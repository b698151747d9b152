#include "services/actor/core/episode_collector.h"

#include <cmath>
#include <limits>
#include <set>

#include "gtest/gtest.h"
#include "services/actor/core/environment_factory.h"
#include "tests/fakes/fake_environment.h"
#include "tests/fakes/fake_planner.h"
#include "tests/fakes/policies.h"
#include "tests/testing/status_matchers.h"

namespace demorl {
namespace {

using ::demorl::testing::StatusIs;
using ::testing::HasSubstr;

std::unique_ptr<EpisodeCollector> MakeCollector(const EpisodeCollector::Options& options,
                                                const FakeEnvironmentOptions& fake = {}) {
  absl::StatusOr<std::unique_ptr<EpisodeCollector>> collector = CreateEpisodeCollector(
      options, [fake](uint64_t seed) { return std::make_unique<FakeEnvironment>(fake, seed); });
  EXPECT_OK(collector);
  return *std::move(collector);
}

// Every number of a chunk, for comparison.
std::vector<double> Flatten(const TransitionChunk& chunk) {
  std::vector<double> values;
  const auto add = [&values](const auto& list) { values.insert(values.end(), list.begin(), list.end()); };
  for (const Segment& segment : chunk.segments) {
    values.push_back(static_cast<double>(segment.episode_id));
    values.push_back(segment.first_step);
    values.push_back(segment.num_steps);
    add(segment.observations);
    add(segment.actions);
    add(segment.rewards);
    add(segment.policy_versions);
    values.push_back(segment.terminated);
    values.push_back(segment.truncated);
  }
  return values;
}

TEST(EpisodeCollector, PacksStepsIntoSegmentsThatMatchTheirDeclaredSizes) {
  const auto collector = MakeCollector({.num_environments = 2, .chunk_steps = 3, .seed = 1});
  for (int i = 0; i < 16; ++i) {
    EXPECT_OK(collector->Step(true));
  }
  const TransitionChunk chunk = collector->TakeChunk(true);
  EXPECT_EQ(chunk.num_rows(), 32);
  EXPECT_EQ(collector->num_steps(), 32);
  for (const Segment& segment : chunk.segments) {
    EXPECT_LE(segment.num_steps, 3);
    EXPECT_EQ(segment.observations.size(), (segment.num_steps + 1) * 3);
    EXPECT_EQ(segment.actions.size(), segment.num_steps * 2);
    EXPECT_EQ(segment.rewards.size(), segment.num_steps);
    EXPECT_EQ(segment.policy_versions.size(), segment.num_steps);
    for (int i = 0; i <= segment.num_steps; ++i) {
      EXPECT_EQ(segment.observations[i * 3 + 1], segment.first_step + i);
    }
    for (int i = 0; i < segment.num_steps; ++i) {
      EXPECT_EQ(segment.rewards[i], segment.actions[i * 2]);
      EXPECT_FLOAT_EQ(segment.observations[(i + 1) * 3 + 2] - segment.observations[i * 3 + 2],
                      segment.actions[i * 2] + segment.actions[i * 2 + 1]);
    }
  }
}

TEST(EpisodeCollector, MarksOnlyTheLastStepOfAnEpisodeAndKeepsTerminatedAndTruncatedApart) {
  for (const bool terminates : {true, false}) {
    const auto collector = MakeCollector({.chunk_steps = 3}, {.episode_steps = 7, .terminates = terminates});
    for (int i = 0; i < 7; ++i) {
      EXPECT_OK(collector->Step(true));
    }
    const TransitionChunk chunk = collector->TakeChunk(false);
    ASSERT_EQ(chunk.segments.size(), 3u);
    for (const Segment& segment : chunk.segments) {
      const bool last = segment.first_step == 6;
      EXPECT_EQ(segment.terminated, last && terminates);
      EXPECT_EQ(segment.truncated, last && !terminates);
    }
    const std::vector<EpisodeSummary> episodes = collector->TakeEpisodes();
    ASSERT_EQ(episodes.size(), 1u);
    EXPECT_EQ(episodes[0].length, 7);
    EXPECT_EQ(episodes[0].terminated, terminates);
    double expected_return = 0;
    for (const Segment& segment : chunk.segments) {
      for (const float reward : segment.rewards) {
        expected_return += reward;
      }
    }
    EXPECT_NEAR(episodes[0].episode_return, expected_return, 1e-6);
    EXPECT_TRUE(collector->TakeEpisodes().empty());
  }
}

TEST(EpisodeCollector, NumbersEpisodesUpwardsFromTheFirstIdWithoutRepeats) {
  const auto collector =
      MakeCollector({.num_environments = 3, .chunk_steps = 100, .first_episode_id = uint64_t{5} << 40});
  for (int i = 0; i < 21; ++i) {
    EXPECT_OK(collector->Step(true));
  }
  std::set<uint64_t> ids;
  for (const Segment& segment : collector->TakeChunk(true).segments) {
    EXPECT_TRUE(ids.insert(segment.episode_id).second);
  }
  EXPECT_EQ(ids.size(), 9u);
  EXPECT_EQ(*ids.begin(), uint64_t{5} << 40);
  EXPECT_EQ(*ids.rbegin(), (uint64_t{5} << 40) + 8);
}

TEST(EpisodeCollector, DrawsUniformActionsUntilThereIsAPolicyAndRecordsVersionZero) {
  const auto collector = MakeCollector({.chunk_steps = 100}, {.episode_steps = 1000});
  for (int i = 0; i < 500; ++i) {
    EXPECT_OK(collector->Step(false));
  }
  const TransitionChunk chunk = collector->TakeChunk(true);
  double sum = 0, sum_squares = 0;
  for (const Segment& segment : chunk.segments) {
    for (const float action : segment.actions) {
      ASSERT_LE(std::abs(action), 1);
      sum += action;
      sum_squares += action * action;
    }
    for (const uint64_t version : segment.policy_versions) {
      EXPECT_EQ(version, 0u);
    }
  }
  // 1000 draws, standard errors 0.018 and 0.009.
  EXPECT_NEAR(sum / 1000, 0, 0.09);
  EXPECT_NEAR(sum_squares / 1000, 1.0 / 3, 0.05);
}

TEST(EpisodeCollector, SwapsThePolicyWithinAnEpisodeAndRecordsTheVersionOfEachRow) {
  const auto collector = MakeCollector({.chunk_steps = 100}, {.episode_steps = 100});
  EXPECT_OK(collector->Step(true));
  ASSERT_OK(collector->SetPolicy(ConstantPolicy(3, 2, 0.5f), 4));
  EXPECT_OK(collector->Step(false));
  EXPECT_OK(collector->Step(true));
  ASSERT_OK(collector->SetPolicy(ConstantPolicy(3, 2, -0.5f), 5));
  EXPECT_OK(collector->Step(false));
  EXPECT_EQ(collector->policy_version(), 5u);
  const TransitionChunk chunk = collector->TakeChunk(true);
  ASSERT_EQ(chunk.segments.size(), 1u);
  EXPECT_EQ(chunk.segments[0].policy_versions, (std::vector<uint64_t>{0, 4, 0, 5}));
  EXPECT_NEAR(chunk.segments[0].actions[2], std::tanh(0.5), 1e-6);
  EXPECT_NEAR(chunk.segments[0].actions[6], std::tanh(-0.5), 1e-6);
}

TEST(EpisodeCollector, KeepsTheLastGoodPolicyWhenTheNextDoesNotFit) {
  const auto collector = MakeCollector({});
  ASSERT_OK(collector->SetPolicy(ConstantPolicy(3, 2, 0.5f), 1));
  EXPECT_THAT(collector->SetPolicy(ConstantPolicy(4, 2, 0.1f), 2),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("expected")));
  EXPECT_THAT(collector->SetPolicy(ConstantPolicy(3, 2, std::nanf("")), 3),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("nan")));
  EXPECT_EQ(collector->policy_version(), 1u);
  EXPECT_OK(collector->Step(false));
  const TransitionChunk chunk = collector->TakeChunk(true);
  EXPECT_EQ(chunk.segments[0].policy_versions, (std::vector<uint64_t>{1}));
  EXPECT_NEAR(chunk.segments[0].actions[0], std::tanh(0.5), 1e-6);
}

TEST(EpisodeCollector, CutsAnEpisodeBeforeANonFiniteStepAndStartsANewOne) {
  for (const bool reward : {false, true}) {
    const auto collector = MakeCollector({.chunk_steps = 100}, {.non_finite_observation_at = reward ? 0 : 4,
                                                                .non_finite_reward_at = reward ? 4 : 0});
    for (int i = 0; i < 5; ++i) {
      EXPECT_OK(collector->Step(true));
    }
    const TransitionChunk chunk = collector->TakeChunk(true);
    ASSERT_EQ(chunk.segments.size(), 2u);
    EXPECT_EQ(chunk.segments[0].num_steps, 3);
    EXPECT_TRUE(chunk.segments[0].truncated);
    EXPECT_FALSE(chunk.segments[0].terminated);
    EXPECT_EQ(chunk.segments[1].first_step, 0);
    EXPECT_NE(chunk.segments[1].episode_id, chunk.segments[0].episode_id);
    EXPECT_EQ(collector->num_non_finite(), 1);
    EXPECT_EQ(collector->num_steps(), 4);
    for (const double value : Flatten(chunk)) {
      EXPECT_TRUE(std::isfinite(value));
    }
    EXPECT_TRUE(collector->TakeEpisodes().empty());
  }
}

TEST(EpisodeCollector, RecordsNothingWhileResetsAreNotFinite) {
  const auto collector = MakeCollector({}, {.non_finite_reset = true});
  EXPECT_OK(collector->Step(true));
  EXPECT_OK(collector->Step(true));
  EXPECT_EQ(collector->num_non_finite(), 2);
  EXPECT_EQ(collector->num_steps(), 0);
  EXPECT_TRUE(collector->TakeChunk(true).segments.empty());
}

TEST(EpisodeCollector, FlushesOpenSegmentsWithoutEndingEpisodes) {
  const auto collector = MakeCollector({.chunk_steps = 100});
  EXPECT_OK(collector->Step(true));
  EXPECT_OK(collector->Step(true));
  EXPECT_TRUE(collector->TakeChunk(false).segments.empty());
  const TransitionChunk first = collector->TakeChunk(true);
  ASSERT_EQ(first.segments.size(), 1u);
  EXPECT_FALSE(first.segments[0].terminated || first.segments[0].truncated);
  EXPECT_OK(collector->Step(true));
  const TransitionChunk second = collector->TakeChunk(true);
  ASSERT_EQ(second.segments.size(), 1u);
  EXPECT_EQ(second.segments[0].episode_id, first.segments[0].episode_id);
  EXPECT_EQ(second.segments[0].first_step, 2);
}

TEST(EpisodeCollector, TruncatesRunningEpisodesNeverTerminatesThem) {
  const auto collector = MakeCollector({.num_environments = 2, .chunk_steps = 100});
  EXPECT_OK(collector->Step(true));
  collector->TruncateEpisodes();
  const TransitionChunk chunk = collector->TakeChunk(false);
  ASSERT_EQ(chunk.segments.size(), 2u);
  for (const Segment& segment : chunk.segments) {
    EXPECT_TRUE(segment.truncated);
    EXPECT_FALSE(segment.terminated);
  }
  EXPECT_OK(collector->Step(true));
  for (const Segment& segment : collector->TakeChunk(true).segments) {
    EXPECT_EQ(segment.first_step, 0);
    EXPECT_GT(segment.episode_id, 2u);
  }
}

TEST(EpisodeCollector, GivesTheSameTrajectoriesWhateverTheNumberOfThreads) {
  std::vector<std::vector<double>> results;
  for (const int num_threads : {1, 2, 3, 8}) {
    const auto collector =
        MakeCollector({.num_environments = 5, .num_threads = num_threads, .chunk_steps = 4, .seed = 9});
    std::vector<double> values;
    for (int i = 0; i < 40; ++i) {
      if (i == 20) {
        ASSERT_OK(collector->SetPolicy(RandomPolicy(3, {8}, 2, 3), 1));
      }
      EXPECT_OK(collector->Step(i < 10));
      const std::vector<double> step = Flatten(collector->TakeChunk(false));
      values.insert(values.end(), step.begin(), step.end());
    }
    results.push_back(values);
  }
  for (const std::vector<double>& values : results) {
    EXPECT_EQ(values, results[0]);
  }
  const auto other = MakeCollector({.num_environments = 5, .chunk_steps = 4, .seed = 10});
  EXPECT_OK(other->Step(true));
  const auto same = MakeCollector({.num_environments = 5, .chunk_steps = 4, .seed = 9});
  EXPECT_OK(same->Step(true));
  EXPECT_NE(Flatten(other->TakeChunk(true)), Flatten(same->TakeChunk(true)));
}

// A collector in the middle of things: open and closed segments, a finished episode, a policy.
std::unique_ptr<EpisodeCollector> BusyCollector(uint64_t seed) {
  auto collector = MakeCollector({.num_environments = 3, .chunk_steps = 4, .seed = seed});
  EXPECT_OK(collector->SetPolicy(RandomPolicy(3, {8}, 2, 3), 7));
  for (int i = 0; i < 10; ++i) {
    EXPECT_OK(collector->Step(false));
  }
  return collector;
}

TEST(EpisodeCollector, GoesOnBitByBitAfterRestoring) {
  const auto original = BusyCollector(1);
  const std::string state = original->SaveState();
  const auto restored = BusyCollector(2);
  ASSERT_OK(restored->RestoreState(state));
  EXPECT_EQ(restored->SaveState(), state);
  EXPECT_EQ(restored->num_steps(), 30);
  EXPECT_EQ(original->TakeEpisodes().size(), restored->TakeEpisodes().size());
  for (int i = 0; i < 20; ++i) {
    EXPECT_OK(original->Step(i < 5));
    EXPECT_OK(restored->Step(i < 5));
    EXPECT_EQ(Flatten(original->TakeChunk(false)), Flatten(restored->TakeChunk(false))) << i;
  }
  EXPECT_EQ(Flatten(original->TakeChunk(true)), Flatten(restored->TakeChunk(true)));
}

TEST(EpisodeCollector, RefusesDamagedAndForeignStatesAndStaysAsItWas) {
  const auto collector = BusyCollector(1);
  const std::string before = collector->SaveState();
  EXPECT_THAT(collector->RestoreState(""),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("0 bytes")));
  std::string damaged = before;
  damaged[damaged.size() / 2] ^= 1;
  EXPECT_THAT(collector->RestoreState(damaged), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("CRC")));
  EXPECT_FALSE(collector->RestoreState(before.substr(0, before.size() / 2)).ok());
  const auto smaller = MakeCollector({.num_environments = 2});
  EXPECT_THAT(collector->RestoreState(smaller->SaveState()),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("2 environments")));
  EXPECT_EQ(collector->SaveState(), before);
}

TEST(EpisodeCollector, CollectsANativeTaskAndGoesOnBitByBitAfterRestoring) {
  const EpisodeCollector::Options options = {
      .environment_id = "HalfCheetah-v5", .num_environments = 2, .num_threads = 2, .seed = 3};
  ASSERT_OK_AND_ASSIGN(const auto original, EpisodeCollector::Create(options));
  ASSERT_OK_AND_ASSIGN(const auto restored, EpisodeCollector::Create(options));
  ASSERT_OK(original->SetPolicy(RandomPolicy(17, {32}, 6, 3), 1));
  ASSERT_OK(restored->SetPolicy(RandomPolicy(17, {32}, 6, 3), 1));
  for (int i = 0; i < 60; ++i) {
    EXPECT_OK(original->Step(i < 20));
  }
  ASSERT_OK(restored->RestoreState(original->SaveState()));
  EXPECT_EQ(original->TakeChunk(false).num_rows(), 100);
  restored->TakeChunk(false);
  for (int i = 0; i < 60; ++i) {
    EXPECT_OK(original->Step(false));
    EXPECT_OK(restored->Step(false));
  }
  const std::vector<double> rows = Flatten(original->TakeChunk(true));
  EXPECT_FALSE(rows.empty());
  EXPECT_EQ(rows, Flatten(restored->TakeChunk(true)));
  EXPECT_THAT(EpisodeCollector::Create({.environment_id = "HalfCheeta-v5"}),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("HalfCheetah-v5")));
}

TEST(EpisodeCollector, RefusesImpossibleOptions) {
  const EnvironmentFactory factory = [](uint64_t seed) {
    return std::make_unique<FakeEnvironment>(FakeEnvironmentOptions{}, seed);
  };
  EXPECT_THAT(CreateEpisodeCollector({.num_environments = 0}, factory),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("num_environments 0")));
  EXPECT_THAT(CreateEpisodeCollector({.chunk_steps = 0}, factory),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("chunk_steps 0")));
}

TEST(EpisodeCollector, ActsByPlansAfterTheRandomStepsAndSaysWhereEpisodesBegin) {
  const auto script = std::make_shared<FakePlannerScript>();
  script->answer = {.action = {0.25F, -0.5F}, .policy_version = 6};
  const auto collector =
      MakeCollector({.chunk_steps = 100, .seed = 1, .planners = FakePlanners(script)}, {.episode_steps = 4});
  ASSERT_OK(collector->SetPolicy(ConstantPolicy(3, 2, 0.9F), 5));  // is not asked
  for (int i = 0; i < 10; ++i) {
    ASSERT_OK(collector->Step(/*random_actions=*/i < 2));
  }
  ASSERT_EQ(script->questions.size(), 8);
  const TransitionChunk chunk = collector->TakeChunk(true);
  ASSERT_EQ(chunk.segments.size(), 3);
  EXPECT_EQ(chunk.segments[0].policy_versions, (std::vector<uint64_t>{0, 0, 6, 6}));
  for (int step = 0; step < 4; ++step) {
    const FakePlannerScript::Question& question = script->questions[2 + step];
    EXPECT_EQ(question.first_step, step == 0);
    EXPECT_EQ(question.observation[0], chunk.segments[1].observations[0]);
    EXPECT_EQ(question.observation[1], step);
    EXPECT_EQ(question.simulator_state, "");
    EXPECT_EQ(chunk.segments[1].actions[2 * step], 0.25F);
    EXPECT_EQ(chunk.segments[1].actions[2 * step + 1], -0.5F);
  }
}

TEST(EpisodeCollector, TheTrueSimulatorsStateGoesToAPlannerThatWantsIt) {
  const auto script = std::make_shared<FakePlannerScript>();
  script->answer = {.action = {0, 0}};
  const auto collector =
      MakeCollector({.seed = 1, .planners = FakePlanners(script, /*true_simulator=*/true)});
  ASSERT_OK(collector->Step(false));
  ASSERT_OK(collector->Step(false));
  FakeEnvironment restored({}, 99);
  ASSERT_OK(restored.RestoreState(script->questions[1].simulator_state));
  const std::vector<double> action = {0, 0};
  const Timestep next = restored.Step(action);
  EXPECT_EQ(static_cast<float>(next.observation[0]), script->questions[1].observation[0]);
  EXPECT_EQ(next.observation[1], 2);
}

TEST(EpisodeCollector, AnEnvironmentWhosePlanFailsDoesNotMove) {
  const auto script = std::make_shared<FakePlannerScript>();
  script->answer = {.action = {0.25F, -0.5F}};
  script->status = absl::UnavailableError("no model yet");
  const auto collector = MakeCollector({.seed = 1, .planners = FakePlanners(script)});
  EXPECT_THAT(collector->Step(false), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("no model yet")));
  EXPECT_THAT(collector->Step(false), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("no model yet")));
  EXPECT_EQ(collector->num_steps(), 0);
  script->status = absl::OkStatus();
  ASSERT_OK(collector->Step(false));
  EXPECT_EQ(collector->num_steps(), 1);
  ASSERT_EQ(script->questions.size(), 3);
  EXPECT_TRUE(script->questions[2].first_step);
  EXPECT_EQ(script->questions[2].observation, script->questions[0].observation);
}

TEST(EpisodeCollector, RefusesAPlannedActionOfAnotherSize) {
  const auto script = std::make_shared<FakePlannerScript>();
  script->answer = {.action = {0.25F}};
  const auto collector = MakeCollector({.seed = 1, .planners = FakePlanners(script)});
  EXPECT_THAT(collector->Step(false), StatusIs(absl::StatusCode::kInternal, HasSubstr("1 values; want 2")));
}

}  // namespace
}  // namespace demorl
