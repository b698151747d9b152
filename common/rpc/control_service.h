#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/time/time.h"
#include "common/rpc/service_component.h"

namespace grpc {
class Service;
}

namespace demorl {

// demorl.control.v1.ControlService over a component. What may block (pause, resume, checkpoint) runs on a
// thread of its own, one at a time. Thread-safe.
class ControlService {
 public:
  // Borrows the component. `on_drain` is called when an operator asks for a drain; it must not block.
  static std::unique_ptr<ControlService> Create(ServiceComponent* component, std::string run_id,
                                                std::function<void()> on_drain);
  virtual ~ControlService() = default;

  virtual grpc::Service* rpc_service() = 0;

  // Answers what is queued, then refuses. Idempotent.
  virtual void Close() = 0;
};

}  // namespace demorl
