// A gateway of nothing but a bus watchdog: watched_gateway TIMEOUT_MS PATH=BYTES...
// Prints "watched PID", beats until its standard input ends or the watchdog is gone; then says goodbye and
// prints what came of it.
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "common/robot/safety/bus_watchdog_client.h"
#include "common/robot/transport/serial_port.h"

namespace {

int Fail(const absl::Status& status) {
  std::printf("%s\n", status.ToString().c_str());
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  using namespace demorl;
  std::vector<std::unique_ptr<SerialPort>> ports;
  BusWatchdogClient::Options options{.program = std::getenv("BUS_WATCHDOG")};
  options.order.timeout = absl::Milliseconds(std::atoi(argv[1]));
  options.order.realtime_priority = 90;
  for (int i = 2; i < argc; ++i) {
    const std::pair<std::string, std::string> parts = absl::StrSplit(argv[i], absl::MaxSplits('=', 1));
    auto port = SerialPort::Open({.path = parts.first});
    if (!port.ok()) {
      return Fail(port.status());
    }
    options.order.ports.push_back({.name = parts.first,
                                   .descriptor = (*port)->descriptor(),
                                   .freeing_bytes = {parts.second.begin(), parts.second.end()}});
    ports.push_back(*std::move(port));
  }
  auto client = BusWatchdogClient::Start(options);
  if (!client.ok()) {
    return Fail(client.status());
  }
  (*client)->Beat();
  std::printf("watched %d\n", (*client)->pid());
  std::fflush(stdout);
  std::atomic<bool> ended = false;
  std::thread reader([&ended] {
    char byte;
    while (read(STDIN_FILENO, &byte, 1) > 0) {
    }
    ended = true;
  });
  bool alive = true;
  while (!ended && alive) {
    alive = (*client)->Beat();
    absl::SleepFor(absl::Milliseconds(2));
  }
  if (!alive) {
    std::printf("watchdog gone\n");
    std::fflush(stdout);
  }
  reader.join();
  return Fail((*client)->Goodbye());
}
