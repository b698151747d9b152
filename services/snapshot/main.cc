#include "common/rpc/service_context.h"
#include "services/snapshot/snapshot_component.h"

int main(int argc, char** argv) {
  return demorl::ServiceMain(argc, argv, "snapshot", demorl::MakeSnapshotComponent);
}
