#pragma once

#include <atomic>
#include <filesystem>
#include <memory>
#include <thread>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/policy/safetensors.h"
#include "common/robot/recording/tick_record.h"
#include "services/robot_gateway/bench_child.h"
#include "services/robot_gateway/bench_robot.h"

namespace demorl {

// What happens around a robot while it is measured; begins with construction, ends with destruction. Its
// methods are called by the thread that drains the robot's records, as in a gateway.
class Disturbance {
 public:
  virtual ~Disturbance() = default;
  virtual void OnRecord(const TickRecord&) {}
  virtual absl::Status OncePerSecond(BenchRobot&) { return absl::OkStatus(); }
};

// A learner that publishes a policy each second, within episodes.
class PolicySwaps final : public Disturbance {
 public:
  absl::Status OncePerSecond(BenchRobot& robot) override { return robot.OfferPolicy(policies_[next_++ % 2]); }

 private:
  const TensorFile policies_[2] = {RandomLegPolicy(2), RandomLegPolicy(3)};
  size_t next_ = 0;
};

// stress-ng --cpu 2.
class CpuStress final : public Disturbance {
 public:
  // NOT_FOUND where stress-ng is not installed.
  static absl::StatusOr<std::unique_ptr<Disturbance>> Start(const std::filesystem::path& folder);

 private:
  explicit CpuStress(BenchChild child) : child_(std::move(child)) {}
  BenchChild child_;
};

// A thread of the same process that logs 100 MB/s to a file, which it keeps below 512 MB.
class DiskLogging final : public Disturbance {
 public:
  // Errors as opening the file has them.
  static absl::StatusOr<std::unique_ptr<Disturbance>> Start(const std::filesystem::path& folder);
  // Says on stderr how much it has written.
  ~DiskLogging() override;

 private:
  explicit DiskLogging(std::filesystem::path path, int descriptor);
  void Write();

  const std::filesystem::path path_;
  const int descriptor_;
  std::atomic<bool> stop_ = false;
  std::thread thread_;
};

}  // namespace demorl
