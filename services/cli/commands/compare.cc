#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "common/base/file_io.h"
#include "common/base/status_macros.h"
#include "services/cli/commands/commands.h"
#include "services/cli/commands/run_options.h"
#include "services/cli/plot/plot.h"
#include "services/cli/run/run_folder.h"

namespace demorl {
namespace {

namespace fs = std::filesystem;

struct CompareOptions {
  RunOptions run;
  std::string algorithms = "mdemorl,mopac,mbpo,sac";
  int seeds = 3;
  bool deterministic = false;
};

// One training as a process of its own, so that a failure of one does not end the others.
absl::Status TrainOne(const CompareOptions& options, const std::string& algorithm, uint64_t seed,
                      const fs::path& out) {
  const RunRequest& request = options.run.request;
  std::vector<std::string> command = {fs::read_symlink("/proc/self/exe").string(),
                                      "train",
                                      "--env",
                                      request.environment_id,
                                      "--algorithm",
                                      algorithm,
                                      "--seed",
                                      absl::StrCat(seed),
                                      "--out",
                                      out.string()};
  if (request.environment_steps.has_value()) {
    command.insert(command.end(), {"--steps", absl::StrCat(*request.environment_steps)});
  }
  if (!request.preset.empty()) {
    command.insert(command.end(), {"--preset", request.preset});
  }
  if (request.device.has_value()) {
    command.insert(command.end(), {"--device", *request.device});
  }
  for (const std::string& assignment : request.overrides) {
    command.insert(command.end(), {"--set", assignment});
  }
  if (options.deterministic) {
    command.push_back("--deterministic");
  }
  std::vector<char*> arguments;
  for (std::string& argument : command) {
    arguments.push_back(argument.data());
  }
  arguments.push_back(nullptr);
  std::fflush(stdout);
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::execv(arguments[0], arguments.data());
    ::_exit(127);
  }
  int wait_status = 0;
  if (pid < 0 || ::waitpid(pid, &wait_status, 0) != pid || wait_status != 0) {
    return absl::InternalError(absl::StrCat(algorithm, " with seed ", seed, " did not finish; its folder is ",
                                            out.string(), ", the same command goes on from there"));
  }
  return absl::OkStatus();
}

struct AlgorithmResult {
  std::string algorithm;
  std::vector<EvaluationRow> finals;
};

void PrintTable(const std::vector<AlgorithmResult>& results) {
  std::printf("%-12s %6s %12s %12s %12s %10s\n", "ALGORITHM", "SEEDS", "MEAN RETURN", "STDDEV", "WORST",
              "WALL");
  for (const AlgorithmResult& result : results) {
    double sum = 0, sum_squares = 0, worst = INFINITY, wall_s = 0;
    for (const EvaluationRow& row : result.finals) {
      sum += row.mean_return;
      sum_squares += row.mean_return * row.mean_return;
      worst = std::min(worst, row.mean_return);
      wall_s += row.wall_s;
    }
    const double count = static_cast<double>(result.finals.size());
    const double mean = sum / count;
    std::printf("%-12s %6d %12.1f %12.1f %12.1f %9.0fs\n", result.algorithm.c_str(),
                static_cast<int>(result.finals.size()), mean,
                std::sqrt(std::max(0.0, sum_squares / count - mean * mean)), worst, wall_s / count);
  }
}

absl::Status Compare(const CompareOptions& options) {
  const std::string environment_id = options.run.request.environment_id;
  const fs::path root = options.run.out.empty() ? fs::path("runs") / absl::StrCat("compare-", environment_id)
                                                : fs::path(options.run.out);
  const std::vector<std::string> algorithms = absl::StrSplit(options.algorithms, ',', absl::SkipEmpty());
  for (const std::string& algorithm : algorithms) {  // find bad input before hours of training
    RunOptions checked = options.run;
    checked.request.algorithm = algorithm;
    ASSIGN_OR_RETURN(demorl::config::v1::RunConfig config, ResolveOptions(checked));
    config.set_deterministic(config.deterministic() || options.deterministic);
    RETURN_IF_ERROR(CheckTrainable(config));
  }
  if (algorithms.empty()) {
    return absl::InvalidArgumentError("--algorithms names none; want for example mdemorl,mbpo,sac");
  }
  std::vector<AlgorithmResult> results;
  std::vector<fs::path> folders;
  for (const std::string& algorithm : algorithms) {
    AlgorithmResult result{.algorithm = algorithm};
    for (int seed = 0; seed < options.seeds; ++seed) {
      const fs::path out = root / absl::StrCat(algorithm, "-seed", seed);
      std::printf("== %s, seed %d of %d\n", algorithm.c_str(), seed + 1, options.seeds);
      RETURN_IF_ERROR(TrainOne(options, algorithm, static_cast<uint64_t>(seed), out));
      ASSIGN_OR_RETURN(const std::vector<EvaluationRow> rows, ReadEvaluations(out / "eval.csv"));
      if (rows.empty()) {
        return absl::DataLossError(absl::StrCat(out.string(), "/eval.csv holds no evaluation"));
      }
      result.finals.push_back(rows.back());
      folders.push_back(out);
    }
    results.push_back(std::move(result));
  }
  PrintTable(results);
  return PlotRuns(folders, root / "compare");
}

}  // namespace

void AddCompareCommand(CLI::App& app, int* exit_status) {
  auto* command =
      app.add_subcommand("compare", "Train several algorithms with several seeds; a table and a picture");
  auto options = std::make_shared<CompareOptions>();
  AddRunOptions(*command, &options->run, /*with_config=*/false, /*with_out=*/true);
  for (const char* plural : {"--algorithm", "--seed"}) {  // here they have plurals
    command->remove_option(command->get_option(plural));
  }
  command->add_option("--algorithms", options->algorithms, "Comma-separated")->capture_default_str();
  command->add_option("--seeds", options->seeds, "Seeds 0 to N-1")
      ->capture_default_str()
      ->check(CLI::Range(1, 1000));
  command->add_flag("--deterministic", options->deterministic, "As for train");
  command->callback([options, exit_status] { *exit_status = ReportStatus("compare", Compare(*options)); });
}

}  // namespace demorl
