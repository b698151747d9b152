#pragma once

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "demorl/control/v1/control_service.pb.h"
#include "grpcpp/channel.h"

namespace demorl {

// The control service of any of our services. Thread-safe; each call has a deadline.
class ControlClient {
 public:
  explicit ControlClient(std::shared_ptr<grpc::Channel> channel);
  ~ControlClient();

  absl::StatusOr<demorl::control::v1::GetStatusResponse> GetStatus(absl::Duration timeout = absl::Seconds(2));
  absl::Status Pause();
  absl::Status Resume();
  // Path of the checkpoint.
  absl::StatusOr<std::string> Checkpoint(absl::Duration timeout = absl::Minutes(2));
  absl::Status Drain();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace demorl
