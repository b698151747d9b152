#include "common/base/status_macros.h"
#include "common/rpc/service_context.h"
#include "services/robot_gateway/robot_gateway_component.h"
#include "services/stochlite_gateway/core/stochlite_robot_task.h"
#include "services/stochlite_gateway/core/stochlite_setup.h"

namespace demorl {
namespace {

absl::StatusOr<std::unique_ptr<ServiceComponent>> MakeStochLiteGateway(const ServiceContext& context) {
  ASSIGN_OR_RETURN(std::unique_ptr<StochLiteRobotTask> task,
                   StochLiteRobotTask::Create(context.config.environment()));
  if (context.config.has_robot()) {
    RETURN_IF_ERROR(CheckStochLiteSetup(context.config.robot()));
  }
  return MakeRobotGateway(context, "stochlite_gateway", std::move(task));
}

}  // namespace
}  // namespace demorl

int main(int argc, char** argv) {
  return demorl::ServiceMain(argc, argv, "stochlite_gateway", demorl::MakeStochLiteGateway);
}
