#include "services/actor/core/evaluation_queue.h"

#include <limits>

#include "absl/synchronization/notification.h"
#include "gtest/gtest.h"
#include "tests/fakes/fake_environment.h"
#include "tests/fakes/policies.h"
#include "tests/testing/status_matchers.h"

namespace demorl {
namespace {

using ::demorl::testing::StatusIs;
using ::testing::HasSubstr;

EnvironmentFactory Fake(const FakeEnvironmentOptions& options = {}) {
  return [options](uint64_t seed) { return std::make_unique<FakeEnvironment>(options, seed); };
}

absl::StatusOr<TensorFile> AnyPolicy() { return ConstantPolicy(3, 2, 0.5f); }

EvaluationQueue::Job MakeJob(std::function<absl::StatusOr<TensorFile>()> load_policy,
                             std::function<void(absl::StatusOr<EvaluationResult>)> done,
                             int num_episodes = 5) {
  EvaluationQueue::Job job;
  job.load_policy = std::move(load_policy);
  job.done = std::move(done);
  job.options.num_episodes = num_episodes;
  return job;
}

TEST(EvaluationQueue, RunsJobsInOrderAndHandsResultsBack) {
  EvaluationQueue queue(Fake(), 10);
  absl::Notification all_done;
  std::vector<int> order;  // written by the queue's one thread
  for (int i = 1; i <= 3; ++i) {
    ASSERT_OK(queue.Submit(MakeJob(
        AnyPolicy,
        [&order, &all_done, i](absl::StatusOr<EvaluationResult> result) {
          ASSERT_OK(result);
          order.push_back(static_cast<int>(result->returns.size()));
          if (i == 3) {
            all_done.Notify();
          }
        },
        i)));
  }
  all_done.WaitForNotification();
  EXPECT_EQ(order, (std::vector<int>{1, 2, 3}));
}

TEST(EvaluationQueue, AnswersWithTheErrorOfThePolicy) {
  EvaluationQueue queue(Fake(), 1);
  absl::Notification done;
  ASSERT_OK(queue.Submit(MakeJob([] { return absl::NotFoundError("no version 7"); },
                                 [&done](absl::StatusOr<EvaluationResult> result) {
                                   EXPECT_THAT(result,
                                               StatusIs(absl::StatusCode::kNotFound, HasSubstr("version 7")));
                                   done.Notify();
                                 })));
  done.WaitForNotification();
}

TEST(EvaluationQueue, RefusesJobsBeyondItsCapacity) {
  EvaluationQueue queue(Fake(), 2);
  absl::Notification started, release;
  const auto ignore = [](absl::StatusOr<EvaluationResult>) {};
  ASSERT_OK(queue.Submit(MakeJob(
      [&] {
        started.Notify();
        release.WaitForNotification();
        return AnyPolicy();
      },
      ignore)));
  started.WaitForNotification();
  ASSERT_OK(queue.Submit(MakeJob(AnyPolicy, ignore)));
  ASSERT_OK(queue.Submit(MakeJob(AnyPolicy, ignore)));
  EXPECT_EQ(queue.num_in_flight(), 3);
  EXPECT_THAT(queue.Submit(MakeJob(AnyPolicy, ignore)),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("at most 2")));
  release.Notify();
}

TEST(EvaluationQueue, CancelsTheRunningJobAndAnswersWaitingOnesWhenClosed) {
  EvaluationQueue queue(Fake({.episode_steps = std::numeric_limits<int>::max()}), 2);
  absl::Notification started;
  absl::Status running, waiting;
  ASSERT_OK(queue.Submit(MakeJob(
      [&] {
        started.Notify();
        return AnyPolicy();
      },
      [&](auto result) { running = result.status(); })));
  ASSERT_OK(queue.Submit(MakeJob(AnyPolicy, [&](auto result) { waiting = result.status(); })));
  started.WaitForNotification();
  queue.Close();
  queue.Close();
  EXPECT_THAT(running, StatusIs(absl::StatusCode::kCancelled, HasSubstr("")));
  EXPECT_THAT(waiting, StatusIs(absl::StatusCode::kUnavailable, HasSubstr("")));
  EXPECT_THAT(queue.Submit(MakeJob(AnyPolicy, [](auto) {})),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("stopping")));
}

}  // namespace
}  // namespace demorl
