#include "common/robot/realtime/control_loop.h"

#include <pthread.h>
#include <time.h>

#include <cerrno>

#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"
#include "common/base/clock.h"
#include "common/base/status_macros.h"

namespace demorl {
namespace {

void SleepUntil(absl::Duration time) {
  const timespec wake_time = absl::ToTimespec(time);
  while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &wake_time, nullptr) == EINTR) {
  }
}

// Whole periods that lie between two times; 0 if `late` is not late.
uint64_t PeriodsBetween(absl::Duration scheduled, absl::Duration late, absl::Duration period) {
  absl::Duration rest;
  return late <= scheduled ? 0 : static_cast<uint64_t>(absl::IDivDuration(late - scheduled, period, &rest));
}

}  // namespace

ControlLoop::ControlLoop(const Options& options, ControlLoopBody* body)
    : options_(options), body_(body), timings_(options.timing_capacity) {}

absl::StatusOr<std::unique_ptr<ControlLoop>> ControlLoop::Start(const Options& options,
                                                                ControlLoopBody* body) {
  if (options.period <= absl::ZeroDuration()) {
    return absl::InvalidArgumentError(
        absl::StrCat("control period = ", absl::FormatDuration(options.period), "; want > 0"));
  }
  RETURN_IF_ERROR(CheckRealtimeOptions(options.realtime));
  auto loop = absl::WrapUnique(new ControlLoop(options, body));
  loop->thread_ = std::thread([raw = loop.get()] { raw->Run(); });
  loop->ready_.WaitForNotification();
  return loop;
}

ControlLoop::~ControlLoop() { Stop(); }

void ControlLoop::Stop() {
  stop_.store(true, std::memory_order_relaxed);
  if (thread_.joinable()) {
    thread_.join();
  }
}

void ControlLoop::Run() {
  pthread_setname_np(pthread_self(), "control-loop");
  report_ = BecomeRealtime(options_.realtime);
  ready_.Notify();
  RunPeriods();
}

void ControlLoop::RunPeriods() {
  const Clock& clock = RealClock::Get();
  Tick tick{.index = options_.first_index, .scheduled = clock.Now() + options_.period};
  while (!stop_.load(std::memory_order_relaxed)) {
    SleepUntil(tick.scheduled);
    tick.woke = clock.Now();
    const absl::Duration wake_up_latency = tick.woke - tick.scheduled;
    // Woken a period or more too late: this tick's time is over, and so are those after it.
    const uint64_t slept_away = PeriodsBetween(tick.scheduled, tick.woke, options_.period);
    tick.index += slept_away;
    tick.missed += slept_away;
    tick.scheduled += slept_away * options_.period;
    body_->RunTick(tick);
    const absl::Duration finished = clock.Now();
    const TickTiming timing{.wake_up_latency_ns = absl::ToInt64Nanoseconds(wake_up_latency),
                            .compute_ns = absl::ToInt64Nanoseconds(finished - tick.woke),
                            .missed = tick.missed};
    if (!timings_.TryPush(timing)) {
      num_dropped_timings_.fetch_add(1, std::memory_order_relaxed);
    }
    num_ticks_.fetch_add(1, std::memory_order_relaxed);
    num_missed_.fetch_add(tick.missed, std::memory_order_relaxed);
    tick.missed = PeriodsBetween(tick.scheduled, finished, options_.period);
    tick.index += tick.missed + 1;
    tick.scheduled += (tick.missed + 1) * options_.period;
  }
}

void ControlLoop::TakeTimings(absl::FunctionRef<void(const TickTiming&)> visit) {
  TickTiming timing;
  while (timings_.TryPop(timing)) {
    visit(timing);
  }
}

}  // namespace demorl
