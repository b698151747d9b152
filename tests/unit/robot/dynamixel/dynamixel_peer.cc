// What dynamixel_library_test.py, in which the makers' library is the judge, needs of us.
//   dynamixel_peer serve    four emulated actuators, ids 1 to 4, on a pseudo-terminal: two XM430-W350, an
//                           XM430-W210, an XL430-W250. Prints its path; then takes a line each: "place INDEX
//                           POSITION_RAD VELOCITY_RAD_S", "error INDEX BITS", "torque INDEX", "end".
//   dynamixel_peer frames   prints what our encoders make of the instructions below, in hexadecimal.
#include <iostream>
#include <string>

#include "absl/strings/escaping.h"
#include "absl/strings/string_view.h"
#include "common/robot/drivers/dynamixel/dynamixel_emulator.h"
#include "common/robot/emulation/emulator_server.h"

namespace demorl {
namespace {

// Joints that move evenly, whatever is done to them.
class EvenJoints final : public RobotPlant {
 public:
  struct Joint {
    double position_rad = 0, velocity_rad_s = 0, torque_nm = 0;
  };
  explicit EvenJoints(int num_joints) : joints(num_joints) {}

  int num_joints() const override { return static_cast<int>(joints.size()); }
  void Advance(absl::Duration, std::span<const double> torques_nm) override {
    for (size_t i = 0; i < joints.size(); ++i) {
      joints[i].torque_nm = torques_nm[i];
    }
  }
  double position_rad(int joint) const override { return joints[joint].position_rad; }
  double velocity_rad_s(int joint) const override { return joints[joint].velocity_rad_s; }

  std::vector<Joint> joints;
};

int Serve() {
  DynamixelEmulator emulator({.servos = {{.id = 1, .joint = 0},
                                         {.id = 2, .joint = 1},
                                         {.id = 3, .joint = 2, .model = dxl::FindModel(1030)},
                                         {.id = 4, .joint = 3, .model = dxl::FindModel(1060)}}});
  EvenJoints plant(4);
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
    if (index >= plant.joints.size()) {
      std::cerr << "dynamixel_peer: joint " << index << "; want 0..3" << std::endl;
      return 2;
    }
    EvenJoints::Joint& joint = plant.joints[index];
    double answer = 0;
    if (verb == "place") {
      double position_rad = 0, velocity_rad_s = 0;
      std::cin >> position_rad >> velocity_rad_s;
      (*server)->Inspect([&] { joint = {position_rad, velocity_rad_s, 0}; });
    } else if (verb == "error") {
      int bits = 0;
      std::cin >> bits;
      (*server)->Inspect([&] { emulator.servo(index).AddHardwareError(static_cast<uint8_t>(bits)); });
    } else if (verb == "torque") {
      (*server)->Inspect([&] { answer = joint.torque_nm; });
    }
    std::cout << answer << std::endl;
  }
  return 0;
}

// Shared with dynamixel_library_test.py, in this order.
int PrintFrames() {
  std::array<uint8_t, dxl::kMaxPacketBytes> out;
  const auto print = [&out](size_t size) {
    std::cout << absl::BytesToHexString(absl::string_view(reinterpret_cast<const char*>(out.data()), size))
              << "\n";
  };
  const std::array<uint8_t, 3> ids = {1, 2, 200};
  const std::array<uint8_t, 4> value = {0x78, 0x56, 0x34, 0x12};
  dxl::SyncWrite currents(dxl::kGoalCurrent, 2);
  currents.Add(1, -100);
  currents.Add(2, 300);
  dxl::SyncWrite positions(dxl::kGoalPosition, 4);
  positions.Add(7, 2048);
  positions.Add(200, -5);
  print(dxl::EncodePacket(3, dxl::Instruction::kPing, {}, out));
  print(dxl::EncodeRead(1, dxl::kPresentPosition, 4, out));
  print(dxl::EncodeWrite(9, dxl::kGoalPosition, value, out));
  print(dxl::EncodePacket(3, dxl::Instruction::kReboot, {}, out));
  print(dxl::EncodeSyncRead(dxl::Instruction::kSyncRead, dxl::kPresentCurrent, 10, ids, out));
  print(dxl::EncodeSyncRead(dxl::Instruction::kFastSyncRead, dxl::kPresentCurrent, 10, ids, out));
  print(currents.Encode(out));
  print(positions.Encode(out));
  return 0;
}

int Main(const std::string& verb) {
  if (verb == "serve") {
    return Serve();
  }
  if (verb == "frames") {
    return PrintFrames();
  }
  std::cerr << "dynamixel_peer: '" << verb << "'; want serve or frames" << std::endl;
  return 2;
}

}  // namespace
}  // namespace demorl

int main(int argc, char** argv) { return demorl::Main(argc > 1 ? argv[1] : ""); }
