#include "common/base/status_macros.h"
#include "common/rpc/service_context.h"
#include "services/leg_gateway/core/leg_robot_task.h"
#include "services/robot_gateway/robot_gateway_component.h"

namespace demorl {
namespace {

absl::StatusOr<std::unique_ptr<ServiceComponent>> MakeLegGateway(const ServiceContext& context) {
  ASSIGN_OR_RETURN(std::unique_ptr<LegRobotTask> task, LegRobotTask::Create(context.config.environment()));
  return MakeRobotGateway(context, "leg_gateway", std::move(task));
}

}  // namespace
}  // namespace demorl

int main(int argc, char** argv) {
  return demorl::ServiceMain(argc, argv, "leg_gateway", demorl::MakeLegGateway);
}
