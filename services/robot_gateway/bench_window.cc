#include "services/robot_gateway/bench_window.h"

#include <cmath>

#include "absl/time/clock.h"
#include "common/base/clock.h"
#include "common/base/status_macros.h"

namespace demorl {
namespace {

void SleepUntilNextSecond() {
  const absl::Duration now = RealClock::Get().Now();
  absl::SleepFor(absl::Floor(now, absl::Seconds(1)) + absl::Seconds(1) - now);
}

}  // namespace

absl::StatusOr<WindowSamples> BenchWindow::MeasureTogether() {
  RETURN_IF_ERROR(StartRobot());
  SleepUntilNextSecond();
  ASSIGN_OR_RETURN(Cyclictest cyclictest, StartCyclictest(robot_.phase() + kBenchPeriod / 2));
  SleepUntilNextSecond();  // in which cyclictest begins
  Discard();
  RETURN_IF_ERROR(PumpWhile([&] { return cyclictest.IsRunning(); }));
  num_lost_ = robot_.num_lost();
  ASSIGN_OR_RETURN(samples_.cyclictest_us, cyclictest.LatenciesUs());
  return samples_;
}

absl::StatusOr<WindowSamples> BenchWindow::MeasureInTurns() {
  RETURN_IF_ERROR(StartRobot());
  Discard();
  const absl::Duration end = RealClock::Get().Now() + options_.duration;
  RETURN_IF_ERROR(PumpWhile([&] { return RealClock::Get().Now() < end; }));
  num_lost_ = robot_.num_lost();
  robot_.Stop();
  ASSIGN_OR_RETURN(Cyclictest cyclictest, StartCyclictest(absl::ZeroDuration()));
  while (cyclictest.IsRunning()) {
    absl::SleepFor(absl::Milliseconds(10));
  }
  ASSIGN_OR_RETURN(samples_.cyclictest_us, cyclictest.LatenciesUs());
  return samples_;
}

absl::Status BenchWindow::StartRobot() {
  RETURN_IF_ERROR(robot_.Start({.priority = kBenchPriority, .cpus = {options_.cpu}}));
  report_ = robot_.report();
  return absl::OkStatus();
}

absl::StatusOr<Cyclictest> BenchWindow::StartCyclictest(absl::Duration phase) {
  return Cyclictest::Start({.period = kBenchPeriod,
                            .phase = phase % kBenchPeriod,
                            .num_ticks = options_.duration / kBenchPeriod,
                            .cpu = options_.cpu,
                            .priority = report_.scheduling ? kBenchPriority : 0,
                            .folder = options_.folder});
}

// Drains the robot as a gateway does.
absl::Status BenchWindow::PumpWhile(absl::FunctionRef<bool()> goes_on) {
  absl::Duration next_second = RealClock::Get().Now();
  while (goes_on()) {
    absl::SleepFor(absl::Milliseconds(10));
    Drain();
    if (RealClock::Get().Now() >= next_second) {
      next_second += absl::Seconds(1);
      RETURN_IF_ERROR(disturbance_.OncePerSecond(robot_));
    }
  }
  Drain();
  return absl::OkStatus();
}

void BenchWindow::Drain() {
  robot_.Drain(
      [&](const TickTiming& timing) {
        samples_.wake_up_us.push_back(std::floor(timing.wake_up_latency_ns / 1e3));
        samples_.compute_us.push_back(timing.compute_ns / 1e3);
        samples_.overruns += timing.missed > 0 ? 1 : 0;
        samples_.missed_ticks += timing.missed;
      },
      [&](const TickRecord& record) { disturbance_.OnRecord(record); });
}

void BenchWindow::Discard() {
  Drain();
  samples_ = {};
}

}  // namespace demorl
