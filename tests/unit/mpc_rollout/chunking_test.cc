#include "services/mpc_rollout/chunking.h"

#include <vector>

#include "gtest/gtest.h"

namespace demorl {
namespace {

TEST(ChunkingTest, KeepsOrderAndRespectsTheLimit) {
  TransitionChunk chunk{.observation_size = 1, .action_size = 1};
  for (int i = 0; i < 7; ++i) {
    chunk.segments.push_back({.episode_id = static_cast<uint64_t>(i),
                              .num_steps = 1,
                              .observations = {0, 0},
                              .actions = {0},
                              .rewards = {0},
                              .policy_versions = {0}});
  }
  const std::vector<TransitionChunk> pieces = SplitChunk(std::move(chunk), 3 * 24);
  ASSERT_EQ(pieces.size(), 3);
  EXPECT_EQ(pieces[0].segments.size(), 3);
  EXPECT_EQ(pieces[2].segments.size(), 1);
  EXPECT_EQ(pieces[2].segments[0].episode_id, 6);
  EXPECT_TRUE(SplitChunk({}, 10).empty());
}

}  // namespace
}  // namespace demorl
