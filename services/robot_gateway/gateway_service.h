#pragma once

#include <cstdint>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "common/concurrency/serial_worker.h"
#include "common/robot/control/robot_task.h"
#include "demorl/gateway/v1/gateway_service.grpc.pb.h"
#include "services/robot_gateway/core/operator_desk.h"
#include "services/robot_gateway/core/state_board.h"

namespace demorl {

// The RPC skin of one robot's gateway. Thread-safe.
class GatewayServiceImpl final : public demorl::gateway::v1::GatewayService::CallbackService {
 public:
  // Figures that are not in a tick's record.
  struct Figures {
    uint64_t num_ticks = 0;
    uint64_t num_missed_ticks = 0;
    uint64_t rows_recorded = 0;
    uint64_t rows_durable = 0;
    uint64_t rows_intervened = 0;
    uint64_t spool_bytes = 0;
    absl::Duration worst_wake_up;
    absl::Duration worst_compute;
    std::vector<std::string> degraded;
  };
  // Borrows desk and board; the functions are called by any thread.
  struct Parts {
    std::string run_id;
    std::string robot_name;
    std::vector<std::string> joint_names;
    int action_size = 0;
    std::vector<OperatorAxis> operator_axes;
    absl::Duration control_period;
    OperatorDesk* desk = nullptr;
    const StateBoard* board = nullptr;
    std::function<Figures()> figures;
    std::function<std::string(uint32_t fault)> describe_fault;
    // Clears what devices latch; may block for a second.
    std::function<absl::Status()> recover_devices;
  };

  explicit GatewayServiceImpl(Parts parts);
  ~GatewayServiceImpl() override { Close(); }

  // Ends all streams and refuses new ones. Idempotent.
  void Close();

  grpc::ServerUnaryReactor* Arm(grpc::CallbackServerContext* context,
                                const demorl::gateway::v1::ArmRequest* request,
                                demorl::gateway::v1::ArmResponse* response) override;
  grpc::ServerUnaryReactor* RenewLease(grpc::CallbackServerContext* context,
                                       const demorl::gateway::v1::RenewLeaseRequest* request,
                                       demorl::gateway::v1::RenewLeaseResponse* response) override;
  grpc::ServerUnaryReactor* Disarm(grpc::CallbackServerContext* context,
                                   const demorl::gateway::v1::DisarmRequest* request,
                                   demorl::gateway::v1::DisarmResponse* response) override;
  grpc::ServerUnaryReactor* EmergencyStop(grpc::CallbackServerContext* context,
                                          const demorl::gateway::v1::EmergencyStopRequest* request,
                                          demorl::gateway::v1::EmergencyStopResponse* response) override;
  grpc::ServerUnaryReactor* ClearFault(grpc::CallbackServerContext* context,
                                       const demorl::gateway::v1::ClearFaultRequest* request,
                                       demorl::gateway::v1::ClearFaultResponse* response) override;
  grpc::ServerUnaryReactor* Jog(grpc::CallbackServerContext* context,
                                const demorl::gateway::v1::JogRequest* request,
                                demorl::gateway::v1::JogResponse* response) override;
  grpc::ServerUnaryReactor* Intervene(grpc::CallbackServerContext* context,
                                      const demorl::gateway::v1::InterveneRequest* request,
                                      demorl::gateway::v1::InterveneResponse* response) override;
  grpc::ServerWriteReactor<demorl::gateway::v1::WatchStateResponse>* WatchState(
      grpc::CallbackServerContext* context, const demorl::gateway::v1::WatchStateRequest* request) override;

 private:
  class WatchReactor;

  absl::Status CheckRunId(const std::string& run_id) const;
  void FillState(demorl::gateway::v1::WatchStateResponse* response) const;
  void FillJoints(const TickRecord& last, demorl::gateway::v1::WatchStateResponse* response) const;
  void FillAction(const TickRecord& last, demorl::gateway::v1::WatchStateResponse* response) const;

  const Parts parts_;
  SerialWorker worker_{"gateway-clear"};
  absl::Mutex mutex_;
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
  std::set<WatchReactor*> watchers_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace demorl
