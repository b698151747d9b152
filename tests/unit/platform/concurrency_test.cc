#include <memory>
#include <thread>
#include <vector>

#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "common/concurrency/bounded_queue.h"
#include "common/concurrency/stop_token.h"
#include "common/concurrency/worker_pool.h"
#include "gmock/gmock.h"
#include "tests/testing/status_matchers.h"

namespace demorl {
namespace {

using ::demorl::testing::StatusIs;
using ::testing::_;

TEST(WorkerPoolTest, EveryRunCallsTheTaskOnceOnEachThreadAndWaitsForAll) {
  for (const int num_threads : {1, 2, 5}) {
    WorkerPool pool(num_threads, "test");
    EXPECT_EQ(pool.num_threads(), num_threads);
    std::vector<int> calls(num_threads, 0);  // no lock: Run orders what a thread wrote before its return
    for (int run = 1; run <= 200; ++run) {
      pool.Run([&calls](int i) { ++calls[i]; });
      EXPECT_EQ(calls, std::vector<int>(num_threads, run));
    }
  }
}

TEST(WorkerPoolTest, TheCallerIsOneOfTheThreads) {
  WorkerPool pool(3, "test");
  std::vector<std::thread::id> ids(3);
  pool.Run([&ids](int i) { ids[i] = std::this_thread::get_id(); });
  EXPECT_EQ(ids[0], std::this_thread::get_id());
  EXPECT_NE(ids[1], ids[0]);
  EXPECT_NE(ids[2], ids[1]);
}

TEST(StopTokenTest, WaitEndsAtTheStop) {
  StopSource source;
  bool stopped = false;
  std::thread waiter(
      [&stopped, token = source.token()] { stopped = token.WaitUntil(absl::InfiniteFuture()); });
  source.RequestStop();
  waiter.join();
  EXPECT_TRUE(stopped);
  EXPECT_TRUE(source.stop_requested());
}

TEST(StopTokenTest, WaitEndsAtTheDeadline) {
  StopSource source;
  EXPECT_FALSE(source.token().WaitUntil(absl::InfinitePast()));
  EXPECT_FALSE(source.token().WaitFor(absl::Milliseconds(1)));
  EXPECT_FALSE(StopToken().stop_requested());
}

TEST(BoundedQueueTest, KeepsTheOrder) {
  BoundedQueue<int> queue(3);
  for (int i = 0; i < 3; ++i) {
    EXPECT_OK(queue.Push(i));
  }
  for (int i = 0; i < 3; ++i) {
    ASSERT_OK_AND_ASSIGN(const int value, queue.Pop());
    EXPECT_EQ(value, i);
  }
}

TEST(BoundedQueueTest, AFullQueueMakesProducersWaitUntilTheDeadline) {
  BoundedQueue<int> queue(1);
  ASSERT_OK(queue.Push(1));
  EXPECT_THAT(queue.Push(2, absl::Now()), StatusIs(absl::StatusCode::kDeadlineExceeded, _));
  int value = 3;
  EXPECT_FALSE(queue.TryPush(value));
  EXPECT_EQ(queue.size(), 1);
}

TEST(BoundedQueueTest, AnEmptyQueueMakesConsumersWaitUntilTheDeadline) {
  BoundedQueue<int> queue(1);
  EXPECT_THAT(queue.Pop(absl::Now()), StatusIs(absl::StatusCode::kDeadlineExceeded, _));
}

TEST(BoundedQueueTest, ClosingWakesBothSidesAndKeepsWhatIsInside) {
  BoundedQueue<int> full(1);
  ASSERT_OK(full.Push(7));
  BoundedQueue<int> empty(1);
  absl::Status push_status;
  absl::Status pop_status;
  std::thread producer([&] { push_status = full.Push(8); });
  std::thread consumer([&] { pop_status = empty.Pop().status(); });
  full.Close();
  empty.Close();
  producer.join();
  consumer.join();
  EXPECT_THAT(push_status, StatusIs(absl::StatusCode::kCancelled, _));
  EXPECT_THAT(pop_status, StatusIs(absl::StatusCode::kCancelled, _));
  ASSERT_OK_AND_ASSIGN(const int value, full.Pop());
  EXPECT_EQ(value, 7);
  EXPECT_THAT(full.Pop(), StatusIs(absl::StatusCode::kCancelled, _));
}

TEST(BoundedQueueTest, LosesAndRepeatsNothingBetweenManyThreads) {
  constexpr int kThreads = 4;
  constexpr int kPerThread = 2000;
  BoundedQueue<std::unique_ptr<int>> queue(8);
  std::vector<std::thread> producers;
  std::vector<std::thread> consumers;
  std::vector<std::vector<int>> seen(kThreads);
  for (int t = 0; t < kThreads; ++t) {
    producers.emplace_back([&queue, t] {
      for (int i = 0; i < kPerThread; ++i) {
        EXPECT_OK(queue.Push(std::make_unique<int>(t * kPerThread + i)));
      }
    });
    consumers.emplace_back([&queue, &values = seen[t]] {
      for (auto value = queue.Pop(); value.ok(); value = queue.Pop()) {
        values.push_back(**value);
      }
    });
  }
  for (std::thread& producer : producers) {
    producer.join();
  }
  queue.Close();
  std::vector<int> count(kThreads * kPerThread, 0);
  for (int t = 0; t < kThreads; ++t) {
    consumers[t].join();
    for (const int value : seen[t]) {
      ++count[value];
    }
  }
  EXPECT_THAT(count, ::testing::Each(1));
}

}  // namespace
}  // namespace demorl
