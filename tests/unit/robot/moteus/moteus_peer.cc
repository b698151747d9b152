// What moteus_library_test.py, in which the makers' library is the judge, needs of us.
//   moteus_peer serve [reply-before-ok|preparing]  two emulated controllers, ids 1 and 2, on a
//                                        pseudo-terminal. Prints its path; then takes a line each: "fault
//                                        INDEX CODE", "torque INDEX", "mode INDEX", "end".
//   moteus_peer frames                   prints the lines that the driver sends for the commands below.
#include <iostream>
#include <limits>
#include <string>

#include "common/base/check.h"
#include "common/robot/drivers/moteus/fdcanusb_port.h"
#include "common/robot/drivers/moteus/moteus_bus.h"
#include "common/robot/drivers/moteus/moteus_emulator.h"
#include "common/robot/emulation/emulator_server.h"
#include "tests/unit/robot/moteus/emulated_stream.h"

namespace demorl {
namespace {

int Serve(const std::string& option) {
  MoteusEmulatorOptions options = {.controllers = {{.id = 1, .joint = 0}, {.id = 2, .joint = 1}},
                                   .reply_before_ok = option == "reply-before-ok"};
  if (option == "preparing") {
    options.controllers[0].preparing_step = absl::Minutes(5);
    options.controllers[1].preparing_step = absl::Milliseconds(5);
  }
  MoteusEmulator emulator(options);
  FreeBodies plant(2, 1.0);
  auto server = EmulatorServer::Start({}, {&emulator}, &plant);
  if (!server.ok()) {
    std::cerr << server.status() << std::endl;
    return 1;
  }
  std::cout << (*server)->path(0) << std::endl;
  std::string verb;
  while (std::cin >> verb && verb != "end") {
    size_t index = 0;
    std::cin >> index;
    double answer = 0;
    if (verb == "fault") {
      int code = 0;
      std::cin >> code;
      (*server)->Inspect([&] { emulator.controller(index).SetFault(code); });
    } else if (verb == "torque") {
      (*server)->Inspect([&] { answer = emulator.controller(index).torque_nm(); });
    } else if (verb == "mode") {
      (*server)->Inspect([&] { answer = emulator.controller(index).mode(); });
    }
    std::cout << answer << std::endl;
  }
  return 0;
}

// Shared with moteus_library_test.py, in this order.
const JointCommand kCommands[] = {
    {.mode = ActuatorMode::kFree},
    {.mode = ActuatorMode::kDamping, .damping_nm_s_rad = 0.25},
    {.mode = ActuatorMode::kTorque, .torque_nm = -0.375},
    {.mode = ActuatorMode::kTorque, .torque_nm = 1.7, .max_torque_nm = 2.5},
    {.mode = ActuatorMode::kPosition,
     .position_rad = 1.25,
     .velocity_rad_s = -0.5,
     .torque_nm = 0.1,
     .stiffness_nm_rad = 3,
     .damping_nm_s_rad = 0.05},
    {.mode = ActuatorMode::kPosition, .position_rad = -7, .stiffness_nm_rad = 1, .max_torque_nm = 0.5},
};

int PrintFrames(bool checksums) {
  MoteusEmulator emulator({.controllers = {{.id = 5}}});
  auto owned = std::make_unique<EmulatedStream>(&emulator);
  EmulatedStream* stream = owned.get();
  auto bus = MoteusBus::Create(
      {.actuators = {{.id = 5, .position_kp_nm_rev = 8, .position_kd_nm_s_rev = 0.5}}},
      std::make_unique<FdcanusbPort>(FdcanusbOptions{.checksums = checksums}, std::move(owned)));
  DEMORL_CHECK(bus.ok());
  for (const JointCommand& command : kCommands) {
    (*bus)->Write({&command, 1});
  }
  JointMeasurement measured;
  (*bus)->Read(absl::ZeroDuration(), {&measured, 1});
  std::cout << stream->TakeWritten();
  return 0;
}

int Main(int argc, char** argv) {
  const std::string verb = argc > 1 ? argv[1] : "";
  const std::string option = argc > 2 ? argv[2] : "";
  if (verb == "serve") {
    return Serve(option);
  }
  if (verb == "frames") {
    return PrintFrames(option == "checksums");
  }
  std::cerr << "moteus_peer: '" << verb << "'; want serve or frames" << std::endl;
  return 2;
}

}  // namespace
}  // namespace demorl

int main(int argc, char** argv) { return demorl::Main(argc, argv); }
