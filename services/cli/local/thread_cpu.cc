#include "services/cli/local/thread_cpu.h"

#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <map>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/base/file_io.h"

namespace demorl {
namespace {

namespace fs = std::filesystem;

double TaskCpuSeconds(const fs::path& task) {
  const absl::StatusOr<std::string> stat = ReadFile(task / "stat");
  if (!stat.ok()) {
    return 0;  // the thread has just ended
  }
  // Fields after the name, which may hold spaces: utime and stime are the 12th and 13th.
  const std::vector<std::string> fields = absl::StrSplit(stat->substr(stat->rfind(')') + 2), ' ');
  double user = 0, system = 0;
  if (fields.size() < 13 || !absl::SimpleAtod(fields[11], &user) || !absl::SimpleAtod(fields[12], &system)) {
    return 0;
  }
  return (user + system) / static_cast<double>(sysconf(_SC_CLK_TCK));
}

double ProcessCpuSeconds() {
  timespec used;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
  return static_cast<double>(used.tv_sec) + 1e-9 * static_cast<double>(used.tv_nsec);
}

}  // namespace

std::vector<std::pair<std::string, double>> ThreadCpuSeconds() {
  std::map<std::string, double> by_name;
  double living = 0;
  std::error_code error;
  for (const auto& task : fs::directory_iterator("/proc/self/task", error)) {
    const std::string name = ReadFile(task.path() / "comm").value_or("?\n");
    const double seconds = TaskCpuSeconds(task.path());
    by_name[std::string(absl::StripSuffix(name, "\n"))] += seconds;
    living += seconds;
  }
  by_name["ended"] = std::max(0.0, ProcessCpuSeconds() - living);
  std::vector<std::pair<std::string, double>> sorted(by_name.begin(), by_name.end());
  std::sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) { return a.second > b.second; });
  return sorted;
}

}  // namespace demorl
