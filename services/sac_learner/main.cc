#include "common/base/blas_environment.h"
#include "common/rpc/service_context.h"
#include "services/sac_learner/sac_learner_component.h"

int main(int argc, char** argv) {
  demorl::UseFastestBlas(argv);
  return demorl::ServiceMain(argc, argv, "sac_learner", demorl::MakeSacLearnerComponent);
}
