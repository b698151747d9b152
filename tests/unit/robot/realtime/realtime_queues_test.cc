#include <thread>
#include <vector>

#include "common/robot/realtime/hand_over.h"
#include "common/robot/realtime/spsc_ring.h"
#include "gtest/gtest.h"

namespace demorl {
namespace {

TEST(SpscRingTest, KeepsItsCapacityAndRefusesOneMore) {
  SpscRing<int> ring(3);
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(ring.TryPush(i));
  }
  EXPECT_FALSE(ring.TryPush(3));
  int value = -1;
  EXPECT_TRUE(ring.TryPop(value));
  EXPECT_EQ(value, 0);
  EXPECT_TRUE(ring.TryPush(4));
}

TEST(SpscRingTest, CarriesEveryValueInOrderBetweenTwoThreads) {
  SpscRing<int64_t> ring(16);
  constexpr int64_t kNumValues = 100'000;
  std::thread producer([&] {
    for (int64_t i = 0; i < kNumValues;) {
      if (ring.TryPush(i)) {
        ++i;
      } else {
        std::this_thread::yield();
      }
    }
  });
  for (int64_t expected = 0; expected < kNumValues;) {
    int64_t value = -1;
    if (ring.TryPop(value)) {
      ASSERT_EQ(value, expected++);
    } else {
      std::this_thread::yield();
    }
  }
  producer.join();
}

// Tells which thread frees it.
struct Traced {
  Traced(int version, std::vector<std::pair<int, std::thread::id>>* freed) : version(version), freed(freed) {}
  ~Traced() { freed->emplace_back(version, std::this_thread::get_id()); }
  int version;
  std::vector<std::pair<int, std::thread::id>>* freed;
};

TEST(HandOverTest, TheNewestOfferWins) {
  std::vector<std::pair<int, std::thread::id>> freed;
  std::unique_ptr<Traced> current;
  HandOver<Traced> hand_over;
  hand_over.Offer(std::make_unique<Traced>(1, &freed));
  hand_over.Offer(std::make_unique<Traced>(2, &freed));
  ASSERT_TRUE(hand_over.Take(current));
  EXPECT_EQ(current->version, 2);
  EXPECT_FALSE(hand_over.Take(current));
  ASSERT_EQ(freed.size(), 1);
  EXPECT_EQ(freed[0].first, 1);
}

TEST(HandOverTest, TheTakingThreadFreesNothing) {
  std::vector<std::pair<int, std::thread::id>> freed;
  HandOver<Traced> hand_over;
  std::unique_ptr<Traced> current;
  constexpr int kNumVersions = 2000;
  std::atomic<bool> done = false;
  std::thread::id taker_id;
  std::thread taker([&] {
    taker_id = std::this_thread::get_id();
    int last_seen = 0;
    while (!done || hand_over.Take(current)) {
      hand_over.Take(current);
      if (current != nullptr) {
        EXPECT_GE(current->version, last_seen);
        last_seen = current->version;
      }
    }
  });
  for (int version = 1; version <= kNumVersions; ++version) {
    hand_over.Offer(std::make_unique<Traced>(version, &freed));
  }
  done = true;
  taker.join();
  hand_over.Collect();
  hand_over.Take(current);
  EXPECT_EQ(current->version, kNumVersions);
  for (const auto& [version, thread] : freed) {
    EXPECT_NE(thread, taker_id) << version;
  }
}

}  // namespace
}  // namespace demorl
