#include "common/base/blas_environment.h"
#include "common/rpc/service_context.h"
#include "services/mpc_rollout/mpc_rollout_component.h"

int main(int argc, char** argv) {
  demorl::UseFastestBlas(argv);
  return demorl::ServiceMain(argc, argv, "mpc_rollout", demorl::MakeMpcRolloutComponent);
}
