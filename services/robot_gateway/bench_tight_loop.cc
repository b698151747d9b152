#include "services/robot_gateway/bench_tight_loop.h"

#include <memory>
#include <thread>

#include "common/base/clock.h"
#include "common/base/random.h"
#include "common/base/status_macros.h"
#include "services/robot_gateway/bench_robot.h"
#include "services/robot_gateway/bench_window.h"

namespace demorl {
namespace {

constexpr int kRuns = 3;
constexpr int kCalls = 50'000;

// Of each call, in microseconds.
template <typename Function>
std::vector<double> TimeCalls(int count, Function call) {
  std::vector<double> times_us;
  times_us.reserve(count);
  for (int i = 0; i < count; ++i) {
    const absl::Duration start = RealClock::Get().Now();
    call();
    times_us.push_back(absl::ToDoubleMicroseconds(RealClock::Get().Now() - start));
  }
  return times_us;
}

Figure Describe(const std::string& name, const std::vector<std::vector<double>>& runs_us, double share) {
  Figure figure{.name = name, .unit = "us"};
  for (const std::vector<double>& run_us : runs_us) {
    figure.runs.push_back(Quantile(run_us, share));
  }
  figure.value = Quantile(figure.runs, 0.5);
  return figure;
}

std::vector<Figure> Measure(BenchRobot& robot, MlpPolicy& policy) {
  Random random(1);
  const std::vector<float> observation(policy.observation_size(), 0.3F);
  std::vector<float> action(policy.action_size());
  uint64_t index = 0;
  const auto tick = [&] {
    const absl::Duration time = static_cast<double>(++index) * kBenchPeriod;
    robot.TickHere({.index = index, .scheduled = time, .woke = time});
  };
  TimeCalls(1000, tick);  // past the ramp of arming
  std::vector<std::vector<double>> ticks, draws;
  for (int run = 0; run < kRuns; ++run) {
    ticks.push_back(TimeCalls(kCalls, tick));
    draws.push_back(TimeCalls(kCalls, [&] { policy.Sample(observation, random, action); }));
  }
  return {Describe("robot_tick_alone_p50", ticks, 0.5), Describe("robot_tick_alone_p99.9", ticks, 0.999),
          Describe("robot_policy_draw_alone_p50", draws, 0.5),
          Describe("robot_policy_draw_alone_p99.9", draws, 0.999)};
}

}  // namespace

absl::StatusOr<std::vector<Figure>> TightLoopFigures(int cpu, std::string* scheduler) {
  BenchRobot robot;
  RETURN_IF_ERROR(robot.OfferPolicy(RandomLegPolicy(1)));
  ASSIGN_OR_RETURN(const auto policy, MakeLoopPolicy(RandomLegPolicy(1), 1));
  std::vector<Figure> figures;
  std::thread thread([&] {
    *scheduler = SchedulerName(BecomeRealtime({.priority = kBenchPriority, .cpus = {cpu}}));
    figures = Measure(robot, *policy->network);
  });
  thread.join();
  return figures;
}

}  // namespace demorl
