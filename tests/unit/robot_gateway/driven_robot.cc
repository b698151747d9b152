// A gateway's bus of two B3M servos that are driven by a torque: driven_robot TIMEOUT_S PORT PORT
// Prints "driving" once they are, and "unwatched" once nobody watches the bus any more; a line on its
// standard input clears faults, the input's end ends it in order.
#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <vector>

#include "absl/time/clock.h"
#include "common/base/clock.h"
#include "services/robot_gateway/devices.h"

namespace demorl {
namespace {

constexpr absl::Duration kPeriod = absl::Milliseconds(5);

demorl::config::v1::RobotSetup Setup(char** arguments) {
  demorl::config::v1::RobotSetup setup;
  setup.mutable_bus()->set_protocol(demorl::config::v1::ActuatorBusSetup::PROTOCOL_B3M);
  setup.mutable_safety()->set_bus_watchdog_timeout_s(std::atof(arguments[1]));
  for (int i = 0; i < 2; ++i) {
    setup.mutable_bus()->add_ports(arguments[2 + i]);
    setup.add_joints()->set_port(i);
    setup.mutable_joints(i)->set_actuator_id(i + 1);
  }
  return setup;
}

int Tell(const char* word) {
  std::printf("%s\n", word);
  return std::fflush(stdout);
}

absl::Status Drive(ActuatorBus& bus) {
  const auto devices = bus.Identify();
  if (!devices.ok()) {
    return devices.status();
  }
  if (const absl::Status configured = bus.Configure(absl::ZeroDuration()); !configured.ok()) {
    return configured;
  }
  fcntl(STDIN_FILENO, F_SETFL, O_NONBLOCK);
  std::vector<JointMeasurement> measurements(2);
  const std::vector<JointCommand> commands(2, {.mode = ActuatorMode::kTorque, .torque_nm = 0.2});
  BusResult::Code told = BusResult::Code::kClosed;
  for (;;) {
    char line[8];
    const ssize_t heard = read(STDIN_FILENO, line, sizeof(line));
    if (heard == 0) {
      return absl::OkStatus();
    }
    if (heard > 0) {
      if (const absl::Status cleared = bus.ClearFaults(); !cleared.ok()) {
        return cleared;
      }
    }
    bus.Read(RealClock::Get().Now() + kPeriod, measurements);
    const BusResult::Code written = bus.Write(commands).code;
    const BusResult::Code now =
        written == BusResult::Code::kUnwatched ? BusResult::Code::kUnwatched : BusResult::Code::kOk;
    if (now != told) {
      Tell(now == BusResult::Code::kOk ? "driving" : "unwatched");
    }
    told = now;
    absl::SleepFor(kPeriod);
  }
}

}  // namespace
}  // namespace demorl

int main(int, char** argv) {
  auto bus = demorl::OpenActuatorBus(demorl::Setup(argv));
  absl::Status status = bus.status();
  if (status.ok()) {
    status = demorl::Drive(**bus);
    bus->reset();
  }
  demorl::Tell(status.ok() ? "ended" : status.ToString().c_str());
}
