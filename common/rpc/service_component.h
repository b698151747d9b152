#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace grpc {
class Service;
}

namespace demorl {

enum class ComponentState { kStarting, kRunning, kPaused, kDraining, kUnhealthy };

struct ComponentStatus {
  ComponentState state = ComponentState::kStarting;
  // One line: what it does, waits for, or suffers from.
  std::string detail;
  std::map<std::string, double> figures;
};

// One service as a process hosts it: its RPC skins and its worker threads. `demorl train` hosts all of them
// in one process, a `main.cc` one each. All methods are thread-safe.
class ServiceComponent {
 public:
  virtual ~ServiceComponent() = default;

  // "replay", "sac_learner", ...
  virtual absl::string_view name() const = 0;

  // Borrowed; they live as long as the component.
  virtual std::vector<grpc::Service*> rpc_services() = 0;

  // Starts the workers; called once, after the server accepts calls.
  virtual absl::Status Start() = 0;

  virtual ComponentStatus Status() const = 0;

  // Stops taking new work until Resume; what is in flight finishes.
  virtual absl::Status Pause() = 0;
  virtual absl::Status Resume() = 0;

  // Writes a durable checkpoint and returns its path; empty for a component without durable state.
  virtual absl::StatusOr<std::string> Checkpoint() = 0;

  // First step of a stop: wakes every blocked worker and stream, finishes accepted work, saves a last
  // checkpoint. Idempotent. DEADLINE_EXCEEDED if work was left behind.
  virtual absl::Status Drain(absl::Time deadline) = 0;
};

}  // namespace demorl
