#include "common/rpc/service_context.h"
#include "services/actor/actor_component.h"

int main(int argc, char** argv) {
  return demorl::ServiceMain(argc, argv, "actor", demorl::MakeActorComponent);
}
