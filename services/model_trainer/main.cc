#include "common/base/blas_environment.h"
#include "common/rpc/service_context.h"
#include "services/model_trainer/model_trainer_component.h"

int main(int argc, char** argv) {
  demorl::UseFastestBlas(argv);
  return demorl::ServiceMain(argc, argv, "model_trainer", demorl::MakeModelTrainerComponent);
}
