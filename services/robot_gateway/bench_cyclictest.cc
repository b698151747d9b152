#include "services/robot_gateway/bench_cyclictest.h"

#include <string>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/base/file_io.h"
#include "common/base/status_macros.h"

namespace demorl {
namespace {

// Latencies from here on count as this.
constexpr int kLargestUs = 200'000;

// Lines "<microseconds> <count>"; comments begin with '#', and one of them counts what was larger.
std::vector<double> ParseHistogram(absl::string_view text) {
  std::vector<double> latencies;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    constexpr absl::string_view kOverflows = "# Histogram Overflows:";
    int64_t microseconds = kLargestUs, count = 0;
    if (line.substr(0, kOverflows.size()) == kOverflows) {
      (void)absl::SimpleAtoi(line.substr(kOverflows.size()), &count);
    } else if (line.empty() || line[0] == '#') {
      continue;
    } else {
      const std::vector<absl::string_view> fields =
          absl::StrSplit(line, absl::ByAnyChar(" \t"), absl::SkipEmpty());
      if (fields.size() != 2 || !absl::SimpleAtoi(fields[0], &microseconds) ||
          !absl::SimpleAtoi(fields[1], &count)) {
        continue;
      }
    }
    latencies.insert(latencies.end(), count, microseconds);
  }
  return latencies;
}

}  // namespace

absl::StatusOr<Cyclictest> Cyclictest::Start(const Options& options) {
  const auto microseconds = [](absl::Duration duration) { return absl::ToInt64Microseconds(duration); };
  const std::filesystem::path histogram = options.folder / "cyclictest.histogram";
  std::vector<std::string> arguments = {"cyclictest",
                                        "--quiet",
                                        "--mlockall",
                                        "--threads=1",
                                        absl::StrCat("--affinity=", options.cpu),
                                        absl::StrCat("--interval=", microseconds(options.period)),
                                        absl::StrCat("--loops=", options.num_ticks),
                                        absl::StrCat("--secaligned=", microseconds(options.phase)),
                                        absl::StrCat("--histogram=", kLargestUs),
                                        absl::StrCat("--histfile=", histogram.string())};
  if (options.priority > 0) {
    arguments.push_back("--policy=fifo");
    arguments.push_back(absl::StrCat("--priority=", options.priority));
  } else {
    arguments.push_back("--policy=other");
  }
  ASSIGN_OR_RETURN(BenchChild child, BenchChild::Start(arguments, options.folder / "cyclictest.out"));
  return Cyclictest(std::move(child), histogram);
}

absl::StatusOr<std::vector<double>> Cyclictest::LatenciesUs() const {
  RETURN_IF_ERROR(child_.Result());
  ASSIGN_OR_RETURN(const std::string text, ReadFile(histogram_));
  std::vector<double> latencies = ParseHistogram(text);
  if (latencies.empty()) {
    return absl::InternalError("cyclictest's histogram is empty or of an unknown form");
  }
  return latencies;
}

}  // namespace demorl
