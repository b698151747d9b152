#include "services/robot_gateway/bench_disturbance.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <string>
#include <utility>

#include "absl/memory/memory.h"
#include "absl/time/clock.h"
#include "common/base/clock.h"
#include "common/base/file_io.h"
#include "common/base/status_macros.h"

namespace demorl {
namespace {

constexpr int64_t kBlockBytes = 1'000'000;
constexpr absl::Duration kBlockPeriod = absl::Milliseconds(10);
constexpr int64_t kLogBytes = 512'000'000;

}  // namespace

absl::StatusOr<std::unique_ptr<Disturbance>> CpuStress::Start(const std::filesystem::path& folder) {
  ASSIGN_OR_RETURN(BenchChild child,
                   BenchChild::Start({"stress-ng", "--cpu", "2"}, folder / "stress-ng.out"));
  return absl::WrapUnique(new CpuStress(std::move(child)));
}

absl::StatusOr<std::unique_ptr<Disturbance>> DiskLogging::Start(const std::filesystem::path& folder) {
  const std::filesystem::path path = folder / "log";
  const int descriptor = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (descriptor < 0) {
    return ErrnoToStatus(errno, "open", path);
  }
  return absl::WrapUnique(new DiskLogging(path, descriptor));
}

DiskLogging::DiskLogging(std::filesystem::path path, int descriptor)
    : path_(std::move(path)), descriptor_(descriptor), thread_([this] { Write(); }) {}

DiskLogging::~DiskLogging() {
  stop_.store(true);
  thread_.join();
  close(descriptor_);
  unlink(path_.c_str());
}

void DiskLogging::Write() {
  const Clock& clock = RealClock::Get();
  const std::string block(kBlockBytes, 'x');
  const absl::Duration start = clock.Now();
  absl::Duration next = start;
  int64_t written = 0;
  while (!stop_.load()) {
    const ssize_t count = pwrite(descriptor_, block.data(), block.size(), written % kLogBytes);
    if (count <= 0) {
      std::fprintf(stderr, "robot_bench: logging to disk stopped: %s\n",
                   ErrnoToStatus(errno, "write", path_).ToString().c_str());
      return;
    }
    written += count;
    next += kBlockPeriod;
    absl::SleepFor(next - clock.Now());
  }
  std::fprintf(stderr, "robot_bench: logged %.0f MB/s to disk\n",
               written / 1e6 / absl::ToDoubleSeconds(clock.Now() - start));
}

}  // namespace demorl
