#include "common/tensor/transition_codec.h"

#include "common/base/random.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"

namespace demorl {
namespace {

using ::demorl::testing::StatusIs;
using ::testing::HasSubstr;

TransitionChunk MakeChunk() {
  TransitionChunk chunk{.observation_size = 2, .action_size = 1};
  chunk.segments.push_back({.episode_id = 9,
                            .first_step = 4,
                            .num_steps = 2,
                            .observations = {1, 2, 3, 4, 5, 6},
                            .actions = {0.5f, -0.5f},
                            .rewards = {1, 2},
                            .policy_versions = {7, 8},
                            .terminated = false,
                            .truncated = true,
                            .intervened = true});
  chunk.segments.push_back({.episode_id = 10,
                            .num_steps = 1,
                            .observations = {0, 0, 1, 1},
                            .actions = {1},
                            .rewards = {-1},
                            .policy_versions = {0},
                            .terminated = true,
                            .provenance = PlannedProvenance{3, 15, 2, {0.25f}}});
  return chunk;
}

TEST(TransitionCodecTest, ChunkSurvivesTheRoundTrip) {
  const TransitionChunk chunk = MakeChunk();
  ASSERT_OK_AND_ASSIGN(const TransitionChunk decoded, DecodeTransitionChunk(EncodeTransitionChunk(chunk)));
  ASSERT_EQ(decoded.segments.size(), 2u);
  EXPECT_EQ(decoded.num_rows(), 3);
  const Segment& real = decoded.segments[0];
  EXPECT_EQ(real.episode_id, 9u);
  EXPECT_EQ(real.first_step, 4);
  EXPECT_EQ(real.observations, chunk.segments[0].observations);
  EXPECT_EQ(real.actions, chunk.segments[0].actions);
  EXPECT_EQ(real.rewards, chunk.segments[0].rewards);
  EXPECT_EQ(real.policy_versions, chunk.segments[0].policy_versions);
  EXPECT_FALSE(real.terminated);
  EXPECT_TRUE(real.truncated);
  EXPECT_TRUE(real.intervened);
  EXPECT_FALSE(real.provenance.has_value());
  const Segment& planned = decoded.segments[1];
  EXPECT_TRUE(planned.terminated);
  EXPECT_FALSE(planned.intervened);
  ASSERT_TRUE(planned.provenance.has_value());
  EXPECT_EQ(planned.provenance->dynamics_version, 3u);
  EXPECT_EQ(planned.provenance->horizon_steps, 15);
  EXPECT_EQ(planned.provenance->planning_round, 2u);
  EXPECT_EQ(planned.provenance->disagreement, std::vector<float>{0.25f});
}

TEST(TransitionCodecTest, ATracedChunkStaysTraced) {
  TransitionChunk chunk = MakeChunk();
  chunk.trace = TraceContext{.trace_id = {1, 2}, .span_id = {0, 0, 0, 3}};
  ASSERT_OK_AND_ASSIGN(const TransitionChunk decoded, DecodeTransitionChunk(EncodeTransitionChunk(chunk)));
  EXPECT_EQ(decoded.trace, chunk.trace);
}

TEST(TransitionCodecTest, AMalformedTraceCostsTheTraceNotTheRows) {
  auto message = EncodeTransitionChunk(MakeChunk());
  message.mutable_trace()->set_trace_id("too short");
  message.mutable_trace()->set_span_id("12345678");
  ASSERT_OK_AND_ASSIGN(const TransitionChunk short_id, DecodeTransitionChunk(message));
  EXPECT_FALSE(short_id.trace.has_value());
  EXPECT_EQ(short_id.num_rows(), 3);
  message.mutable_trace()->set_trace_id(std::string(16, '\0'));
  ASSERT_OK_AND_ASSIGN(const TransitionChunk zero_id, DecodeTransitionChunk(message));
  EXPECT_FALSE(zero_id.trace.has_value());
}

TEST(TransitionCodecTest, RefusesColumnsOfTheWrongLengthAndNamesThem) {
  auto message = EncodeTransitionChunk(MakeChunk());
  message.mutable_segments(0)->mutable_actions()->pop_back();
  EXPECT_THAT(DecodeTransitionChunk(message),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("actions has 7 bytes; want 8")));
}

TEST(TransitionCodecTest, RefusesSizesThatWouldNeedMoreMemoryThanTheMessageHas) {
  auto message = EncodeTransitionChunk(MakeChunk());
  message.mutable_segments(0)->set_num_steps(0xffffffffu);
  EXPECT_THAT(DecodeTransitionChunk(message),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("num_steps")));
  message.set_observation_size(0xffffffffu);
  EXPECT_THAT(DecodeTransitionChunk(message),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("observation_size")));
}

TEST(TransitionCodecTest, NoMutationOfTheBytesCrashesTheDecoder) {
  const std::string bytes = EncodeTransitionChunk(MakeChunk()).SerializeAsString();
  Random random(1);
  for (int round = 0; round < 20'000; ++round) {
    std::string mutated = bytes;
    for (int flips = 1 + static_cast<int>(random.Index(4)); flips > 0; --flips) {
      mutated[random.Index(mutated.size())] = static_cast<char>(random.NextUint64());
    }
    mutated.resize(random.Index(mutated.size() + 1));
    demorl::common::v1::TransitionChunk message;
    if (!message.ParseFromString(mutated)) {
      continue;
    }
    const absl::StatusOr<TransitionChunk> decoded = DecodeTransitionChunk(message);
    if (decoded.ok()) {
      for (const Segment& segment : decoded->segments) {
        EXPECT_EQ(segment.observations.size(),
                  static_cast<size_t>(segment.num_steps + 1) * decoded->observation_size);
      }
    }
  }
}

TEST(TransitionCodecTest, BatchSurvivesTheRoundTrip) {
  TransitionBatch batch;
  batch.Resize(2, 2, 1);
  batch.observations = {1, 2, 3, 4};
  batch.actions = {0.1f, 0.2f};
  batch.rewards = {5, 6};
  batch.next_observations = {7, 8, 9, 10};
  batch.terminated = {0, 1};
  batch.keys = {11, 12};
  batch.probabilities = {0.5f, 0.5f};
  ASSERT_OK_AND_ASSIGN(const TransitionBatch decoded,
                       DecodeTransitionBatch(EncodeTransitionBatch(batch), 2, 1));
  EXPECT_EQ(decoded.num_rows, 2);
  EXPECT_EQ(decoded.next_observations, batch.next_observations);
  EXPECT_EQ(decoded.terminated, batch.terminated);
  EXPECT_EQ(decoded.keys, batch.keys);
  EXPECT_EQ(decoded.probabilities, batch.probabilities);
}

TEST(EnvironmentSpecTest, SurvivesTheRoundTripAndRefusesAForeignHash) {
  EnvironmentSpec spec{.environment_id = "Hopper-v5",
                       .observation_size = 11,
                       .action_size = 3,
                       .command_minimum = {-1, -1, -1},
                       .command_maximum = {1, 1, 1},
                       .control_period = absl::Milliseconds(8),
                       .max_episode_steps = 1000};
  auto message = EncodeEnvironmentSpec(spec);
  ASSERT_OK_AND_ASSIGN(const EnvironmentSpec decoded, DecodeEnvironmentSpec(message));
  EXPECT_EQ(decoded.SchemaHash(), spec.SchemaHash());
  EXPECT_EQ(decoded.control_period, spec.control_period);
  message.mutable_action()->set_maximum(0, 2.0);
  EXPECT_THAT(DecodeEnvironmentSpec(message),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("schema_hash")));
}

}  // namespace
}  // namespace demorl
