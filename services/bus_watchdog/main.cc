#include <unistd.h>

#include "common/robot/safety/bus_watchdog_protocol.h"
#include "services/bus_watchdog/core/bus_watchdog.h"

int main() {
  // Whatever else the gateway's process left open must not stay so because of this one.
  close_range(demorl::kWatchdogDescriptor + 1, ~0U, 0);
  return demorl::RunBusWatchdog(demorl::kWatchdogDescriptor);
}
