// An emulated BNO08x that stands still, on a pseudo-terminal whose path it prints; until its standard input
// ends.
#include <unistd.h>

#include <cstdio>
#include <numbers>

#include "common/robot/drivers/imu/rotation.h"
#include "common/robot/drivers/imu/rvc_emulator.h"
#include "common/robot/emulation/emulator_server.h"
#include "tests/unit/robot/imu/fake_wire.h"

int main() {
  using namespace demorl;
  constexpr double kDegree = std::numbers::pi / 180;
  const ImuMotion still = {
      .orientation = Product(Product(AboutAxis(Axis::kZ, 30 * kDegree), AboutAxis(Axis::kX, -12.5 * kDegree)),
                             AboutAxis(Axis::kY, 170 * kDegree)),
      .acceleration_m_s2 = {1, -2, 9.5}};
  RvcEmulator emulator([still](absl::Duration) { return still; });
  NoMotors plant;
  const auto server = EmulatorServer::Start({}, {&emulator}, &plant);
  if (!server.ok()) {
    std::fprintf(stderr, "%s\n", server.status().ToString().c_str());
    return 1;
  }
  std::printf("%s\n", (*server)->path(0).c_str());
  std::fflush(stdout);
  char byte;
  while (read(STDIN_FILENO, &byte, 1) > 0) {
  }
  return 0;
}
