// How well a robot's control loop keeps its time: the whole tick of a gateway at 500 Hz, with a policy of
// 2 x 256 units and actuators in memory that answer at once, beside cyclictest. One JSON line per figure; a
// bar that is missed is a figure, not a failure.
//
//   robot_bench [--seconds N] [--cpu N] [--folder FOLDER] [--case NAME]

#include <stdlib.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "services/robot_gateway/bench_disturbance.h"
#include "services/robot_gateway/bench_figures.h"
#include "services/robot_gateway/bench_recording.h"
#include "services/robot_gateway/bench_tight_loop.h"
#include "services/robot_gateway/bench_window.h"
#include "spdlog/sinks/stdout_sinks.h"
#include "spdlog/spdlog.h"

namespace demorl {
namespace {

constexpr int kWindows = 3;

struct BenchOptions {
  double seconds = 60;  // of each case
  // Interrupts tend to be the first CPU's.
  int cpu = static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN)) - 1;
  // On the disk that is written to.
  std::filesystem::path folder = std::filesystem::temp_directory_path();
  std::string only_case;  // all if empty
};

absl::StatusOr<BenchOptions> ParseArguments(int argc, char** argv) {
  BenchOptions options;
  for (int i = 1; i < argc; i += 2) {
    const std::string name = argv[i], value = i + 1 < argc ? argv[i + 1] : "";
    const bool understood =
        (name == "--seconds" && absl::SimpleAtod(value, &options.seconds) && options.seconds > 0) ||
        (name == "--cpu" && absl::SimpleAtoi(value, &options.cpu)) ||
        (name == "--folder" && std::filesystem::is_directory(options.folder = value)) ||
        (name == "--case" && !(options.only_case = value).empty());
    if (!understood) {
      return absl::InvalidArgumentError(
          absl::StrCat("argument '", name, " ", value,
                       "'; want --seconds N (> 0), --cpu N, --folder FOLDER (that exists), --case NAME"));
    }
  }
  return options;
}

// A folder of its own for as long as it lives.
class ScratchFolder {
 public:
  explicit ScratchFolder(const std::filesystem::path& parent) {
    std::string name = parent / "robot_bench.XXXXXX";
    path_ = mkdtemp(name.data()) == nullptr ? "" : name;
  }
  ~ScratchFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  // Empty if it could not be made.
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

struct BenchCase {
  std::string name;
  std::function<absl::StatusOr<std::unique_ptr<Disturbance>>(const std::filesystem::path& folder)> disturb;
  // Loop and cyclictest one after the other, to show that their company changes nothing.
  bool takes_turns = false;
};

template <typename T>
absl::StatusOr<std::unique_ptr<Disturbance>> Make(const std::filesystem::path&) {
  return std::make_unique<T>();
}

std::vector<BenchCase> AllCases() {
  return {
      {.name = "idle", .disturb = Make<Disturbance>},
      {.name = "idle_in_turns", .disturb = Make<Disturbance>, .takes_turns = true},
      {.name = "policy_swap", .disturb = Make<PolicySwaps>},
      {.name = "replay_killed", .disturb = ReplayKills::Start},
      {.name = "disk_full", .disturb = FullDisk::Start},
      {.name = "stress_ng_cpu_2", .disturb = CpuStress::Start},
      {.name = "logging_100_mb_s", .disturb = DiskLogging::Start},
  };
}

void Tell(const std::string& line) { std::fprintf(stderr, "robot_bench: %s\n", line.c_str()); }

double LoadAverage() {
  double load = 0;
  return getloadavg(&load, 1) == 1 ? load : 0;
}

absl::Status MeasureCase(const BenchCase& bench_case, const BenchOptions& options,
                         const std::filesystem::path& folder) {
  Tell(absl::StrCat("case ", bench_case.name));
  const auto disturbance = bench_case.disturb(folder);
  if (absl::IsPermissionDenied(disturbance.status()) || absl::IsNotFound(disturbance.status())) {
    Tell(absl::StrCat("left out: ", disturbance.status().ToString()));
    return absl::OkStatus();
  }
  RETURN_IF_ERROR(disturbance.status());
  std::vector<WindowSamples> windows;
  RealtimeReport report;
  for (int i = 0; i < kWindows; ++i) {
    BenchWindow window(
        {.duration = absl::Seconds(options.seconds) / kWindows, .cpu = options.cpu, .folder = folder},
        disturbance->get());
    ASSIGN_OR_RETURN(auto samples,
                     bench_case.takes_turns ? window.MeasureInTurns() : window.MeasureTogether());
    windows.push_back(std::move(samples));
    report = window.report();
    if (window.num_lost() > 0) {
      Tell(absl::StrCat(window.num_lost(), " ticks are in no figure: they came faster than they were taken"));
    }
  }
  for (const std::string& line : report.degraded) {
    Tell(line);
  }
  const FigureContext context{.case_name = bench_case.name,
                              .scheduler = SchedulerName(report),
                              .cpu = options.cpu,
                              .seconds = options.seconds,
                              .load_average = LoadAverage()};
  for (const Figure& figure : CaseFigures(windows, absl::ToDoubleMicroseconds(kBenchPeriod))) {
    PrintFigure(figure, context);
  }
  return absl::OkStatus();
}

absl::Status MeasureTickAlone(const BenchOptions& options) {
  FigureContext context{.case_name = "tight_loop", .cpu = options.cpu};
  ASSIGN_OR_RETURN(const std::vector<Figure> figures, TightLoopFigures(options.cpu, &context.scheduler));
  context.load_average = LoadAverage();
  for (const Figure& figure : figures) {
    PrintFigure(figure, context);
  }
  return absl::OkStatus();
}

absl::Status Run(int argc, char** argv) {
  ASSIGN_OR_RETURN(const BenchOptions options, ParseArguments(argc, argv));
  RETURN_IF_ERROR(CheckRealtimeOptions({.cpus = {options.cpu}}));
  const ScratchFolder scratch(options.folder);
  if (scratch.path().empty()) {
    return absl::PermissionDeniedError(absl::StrCat("cannot make a folder in ", options.folder.string()));
  }
  if (options.only_case.empty()) {
    RETURN_IF_ERROR(MeasureTickAlone(options));
  }
  std::string names;
  bool found = false;
  for (const BenchCase& bench_case : AllCases()) {
    absl::StrAppend(&names, " ", bench_case.name);
    if (options.only_case.empty() || options.only_case == bench_case.name) {
      found = true;
      RETURN_IF_ERROR(MeasureCase(bench_case, options, scratch.path()));
    }
  }
  return found ? absl::OkStatus()
               : absl::NotFoundError(absl::StrCat("case '", options.only_case, "'; there are:", names));
}

}  // namespace
}  // namespace demorl

int main(int argc, char** argv) {
  spdlog::set_default_logger(spdlog::stderr_logger_mt("robot_bench"));  // stdout is for figures
  const absl::Status status = demorl::Run(argc, argv);
  if (!status.ok()) {
    demorl::Tell(status.ToString());
  }
  return status.ok() ? 0 : 1;
}
