#include "common/robot/realtime/control_loop.h"

#include <array>
#include <functional>
#include <utility>
#include <vector>

#include "common/base/clock.h"
#include "gmock/gmock.h"
#include "tests/testing/counting_allocator.h"
#include "tests/testing/status_matchers.h"

namespace demorl {
namespace {

using ::demorl::testing::StatusIs;
using ::testing::HasSubstr;

// Without the system's real-time services, so that a test disturbs nothing.
constexpr RealtimeOptions kNormal = {.priority = 0, .lock_memory = false};

class RecordingBody final : public ControlLoopBody {
 public:
  // Runs `work` in each tick; ends after `num_ticks`.
  RecordingBody(size_t num_ticks, std::function<void(const Tick&)> work)
      : num_ticks_(num_ticks), work_(std::move(work)) {
    ticks_.reserve(num_ticks);
  }

  void RunTick(const Tick& tick) override {
    if (ticks_.size() == num_ticks_) {
      return;
    }
    ticks_.push_back(tick);
    work_(tick);
    if (ticks_.size() == num_ticks_) {
      done_.Notify();
    }
  }

  const std::vector<Tick>& WaitForTicks() {
    done_.WaitForNotification();
    return ticks_;
  }

 private:
  const size_t num_ticks_;
  const std::function<void(const Tick&)> work_;
  std::vector<Tick> ticks_;
  absl::Notification done_;
};

void SpinUntil(absl::Duration time) {
  while (RealClock::Get().Now() < time) {
  }
}

TEST(ControlLoopTest, TicksAtWholePeriodsOfItsStart) {
  const absl::Duration period = absl::Milliseconds(1);
  RecordingBody body(50, [](const Tick&) {});
  ASSERT_OK_AND_ASSIGN(const auto loop, ControlLoop::Start({.period = period, .realtime = kNormal}, &body));
  const std::vector<Tick>& ticks = body.WaitForTicks();
  for (const Tick& tick : ticks) {
    EXPECT_EQ(tick.scheduled - ticks.front().scheduled, (tick.index - ticks.front().index) * period);
    EXPECT_GE(tick.woke, tick.scheduled);
    EXPECT_LT(tick.woke, tick.scheduled + period);
  }
}

TEST(ControlLoopTest, SkipsAndCountsThePeriodsThatALongTickHasEaten) {
  const absl::Duration period = absl::Milliseconds(2);
  bool is_first = true;
  RecordingBody body(3, [&](const Tick& tick) {
    if (std::exchange(is_first, false)) {
      SpinUntil(tick.scheduled + 3.5 * period);
    }
  });
  ASSERT_OK_AND_ASSIGN(const auto loop, ControlLoop::Start({.period = period, .realtime = kNormal}, &body));
  const std::vector<Tick>& ticks = body.WaitForTicks();
  EXPECT_GE(ticks[1].missed, 3);
  EXPECT_EQ(ticks[1].index, ticks[0].index + ticks[1].missed + 1);
  loop->Stop();
  EXPECT_GE(loop->num_missed(), 3);
}

TEST(ControlLoopTest, KeepsTheTimingOfEachTickForAnotherThread) {
  RecordingBody body(5, [](const Tick& tick) { SpinUntil(tick.woke + absl::Microseconds(300)); });
  ASSERT_OK_AND_ASSIGN(const auto loop,
                       ControlLoop::Start({.period = absl::Milliseconds(2), .realtime = kNormal}, &body));
  body.WaitForTicks();
  loop->Stop();
  std::vector<TickTiming> timings;
  loop->TakeTimings([&](const TickTiming& timing) { timings.push_back(timing); });
  ASSERT_GE(timings.size(), 5);
  for (int i = 0; i < 5; ++i) {
    EXPECT_GE(timings[i].compute_ns, 300'000);
    EXPECT_GE(timings[i].wake_up_latency_ns, 0);
  }
  EXPECT_EQ(timings.size(), loop->num_ticks());
}

TEST(ControlLoopTest, ItsOwnPartOfATickAllocatesNothing) {
  if (!CountsAllocations()) {
    GTEST_SKIP() << "the sanitizer has its own allocator";
  }
  std::array<int64_t, 20> allocations{};
  size_t next = 0;
  RecordingBody body(allocations.size(), [&](const Tick&) { allocations[next++] = NumAllocations(); });
  ASSERT_OK_AND_ASSIGN(const auto loop,
                       ControlLoop::Start({.period = absl::Milliseconds(1), .realtime = kNormal}, &body));
  body.WaitForTicks();
  EXPECT_EQ(allocations[5], allocations.back());
}

TEST(ControlLoopTest, GoesOnWithoutWhatTheSystemRefusesAndSaysSo) {
  RecordingBody body(1, [](const Tick&) {});
  ASSERT_OK_AND_ASSIGN(
      const auto loop,
      ControlLoop::Start({.period = absl::Milliseconds(1), .realtime = {.priority = 1, .lock_memory = false}},
                         &body));
  body.WaitForTicks();
  EXPECT_EQ(loop->report().scheduling, loop->report().degraded.empty());
}

TEST(ControlLoopTest, RefusesOptionsThatCannotBeMet) {
  RecordingBody body(1, [](const Tick&) {});
  EXPECT_THAT(ControlLoop::Start({.period = absl::ZeroDuration()}, &body),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("want > 0")));
  EXPECT_THAT(ControlLoop::Start({.period = absl::Milliseconds(1), .realtime = {.priority = 100}}, &body),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("want 0 (none) to 99")));
  EXPECT_THAT(ControlLoop::Start({.period = absl::Milliseconds(1), .realtime = {.cpus = {4096}}}, &body),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("CPU 4096")));
}

}  // namespace
}  // namespace demorl
