#include "common/metrics/process_figures.h"

#include <sys/resource.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <system_error>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "common/base/file_io.h"
#include "common/base/status_macros.h"

namespace demorl {
namespace {

// Fields of /proc/PID/stat, counted from the third one: those before may hold blanks.
enum StatField {
  kUserTicks = 11,
  kSystemTicks = 12,
  kThreads = 17,
  kStartTicks = 19,
  kVirtualBytes = 20,
  kPages = 21
};

absl::StatusOr<double> NumberAt(const std::vector<absl::string_view>& fields, StatField field) {
  double value = 0;
  if (fields.size() <= static_cast<size_t>(field) || !absl::SimpleAtod(fields[field], &value)) {
    return absl::InternalError(absl::StrCat("/proc/self/stat has no number in field ", field + 3));
  }
  return value;
}

absl::StatusOr<double> BootTimeSeconds() {
  ASSIGN_OR_RETURN(const std::string text, ReadFile("/proc/stat"));
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    double value = 0;
    if (absl::ConsumePrefix(&line, "btime ") && absl::SimpleAtod(line, &value)) {
      return value;
    }
  }
  return absl::InternalError("/proc/stat has no line btime");
}

double CountOpenFds() {
  std::error_code error;
  double count = -1;  // the listing itself has one open
  for (auto entry = std::filesystem::directory_iterator("/proc/self/fd", error);
       !error && entry != std::filesystem::directory_iterator(); entry.increment(error)) {
    ++count;
  }
  return count;
}

}  // namespace

absl::StatusOr<ProcessFigures> ReadProcessFigures() {
  ASSIGN_OR_RETURN(const std::string text, ReadFile("/proc/self/stat"));
  const size_t name_end = text.rfind(") ");
  if (name_end == std::string::npos) {
    return absl::InternalError("/proc/self/stat names no program");
  }
  const std::vector<absl::string_view> fields =
      absl::StrSplit(absl::string_view(text).substr(name_end + 2), ' ');
  const auto ticks_per_second = static_cast<double>(sysconf(_SC_CLK_TCK));
  ASSIGN_OR_RETURN(const double user_ticks, NumberAt(fields, kUserTicks));
  ASSIGN_OR_RETURN(const double system_ticks, NumberAt(fields, kSystemTicks));
  ASSIGN_OR_RETURN(const double start_ticks, NumberAt(fields, kStartTicks));
  ASSIGN_OR_RETURN(const double boot_time_s, BootTimeSeconds());
  ASSIGN_OR_RETURN(const double pages, NumberAt(fields, kPages));
  ProcessFigures figures;
  figures.cpu_seconds = (user_ticks + system_ticks) / ticks_per_second;
  figures.start_time_seconds = boot_time_s + start_ticks / ticks_per_second;
  figures.resident_memory_bytes = pages * static_cast<double>(sysconf(_SC_PAGESIZE));
  ASSIGN_OR_RETURN(figures.virtual_memory_bytes, NumberAt(fields, kVirtualBytes));
  ASSIGN_OR_RETURN(figures.threads, NumberAt(fields, kThreads));
  figures.open_fds = CountOpenFds();
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  figures.max_fds = static_cast<double>(limit.rlim_cur);
  return figures;
}

}  // namespace demorl
