#include "common/rpc/service_context.h"
#include "services/replay/replay_component.h"

int main(int argc, char** argv) {
  return demorl::ServiceMain(argc, argv, "replay", demorl::MakeReplayComponent);
}
