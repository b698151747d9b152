// A robot without a robot: its twin behind emulated devices on pseudo-terminals.

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>
#include <iostream>
#include <string>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "common/base/file_io.h"
#include "common/base/status_macros.h"
#include "common/robot/emulation/emulator_server.h"
#include "common/robot/realtime/realtime_thread.h"
#include "common/rpc/shutdown_signals.h"
#include "services/robot_emulator/control_commands.h"
#include "services/robot_emulator/core/emulated_robot.h"
#include "spdlog/spdlog.h"

namespace demorl {
namespace {

namespace fs = std::filesystem;

// Above a gateway's control loop, as hardware is.
constexpr int kPriority = 90;

// Replaced by renaming, so that the name is there at all times.
absl::Status LinkPort(const fs::path& link, const std::string& port) {
  const fs::path fresh = fs::path(link).concat(".new");
  std::error_code error;
  fs::remove(fresh, error);
  fs::create_symlink(port, fresh, error);
  if (!error) {
    fs::rename(fresh, link, error);
  }
  return error ? ErrnoToStatus(error.value(), "link", link) : absl::OkStatus();
}

absl::Status LinkPorts(const fs::path& folder, const EmulatedRobot& robot, EmulatorServer& server) {
  for (size_t i = 0; i < robot.port_names.size(); ++i) {
    RETURN_IF_ERROR(LinkPort(folder / robot.port_names[i], server.path(i)));
  }
  return absl::OkStatus();
}

// A named pipe that stays open while nobody writes to it; -1 with errno set.
int OpenControlPipe(const fs::path& path) {
  if (mkfifo(path.c_str(), 0600) != 0 && errno != EEXIST) {
    return -1;
  }
  return open(path.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC);
}

// Readable once the process is told to stop. BlockShutdownSignals has been called.
int OpenStopSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  return signalfd(-1, &signals, SFD_CLOEXEC);
}

absl::Status Serve(const std::string& robot_name, const EmulatedRobotOptions& options,
                   const fs::path& folder) {
  ASSIGN_OR_RETURN(const EmulatedRobot robot, MakeEmulatedRobot(robot_name, options));
  RETURN_IF_ERROR(MakeFolders(folder));
  // Real devices share no processor with anybody; the server's thread inherits this.
  for (const std::string& line : BecomeRealtime({.priority = kPriority, .lock_memory = false}).degraded) {
    spdlog::warn("degraded: {}", line);
  }
  std::vector<DeviceEmulator*> devices;
  for (const auto& device : robot.devices) {
    devices.push_back(device.get());
  }
  ASSIGN_OR_RETURN(const std::unique_ptr<EmulatorServer> server,
                   EmulatorServer::Start({.step = robot.step}, devices, robot.plant.get()));
  RETURN_IF_ERROR(LinkPorts(folder, robot, *server));
  const int control = OpenControlPipe(folder / "control");
  if (control < 0) {
    return ErrnoToStatus(errno, "open", folder / "control");
  }
  spdlog::info("{} is on {}; faults are switched through {}", robot_name, folder.string(),
               (folder / "control").string());
  ControlCommands commands(server.get(), &robot);
  std::string pending;
  pollfd pollers[] = {{.fd = control, .events = POLLIN}, {.fd = OpenStopSignals(), .events = POLLIN}};
  while (poll(pollers, 2, -1) > 0 && (pollers[1].revents & POLLIN) == 0) {
    std::array<char, 4096> bytes;
    const ssize_t num_bytes = read(control, bytes.data(), bytes.size());
    pending.append(bytes.data(), std::max<ssize_t>(num_bytes, 0));
    for (size_t end = pending.find('\n'); end != std::string::npos; end = pending.find('\n')) {
      const absl::Status status = commands.Run(pending.substr(0, end));
      spdlog::info("{}: {}", pending.substr(0, end), status.ok() ? "done" : std::string(status.message()));
      pending.erase(0, end + 1);
      RETURN_IF_ERROR(LinkPorts(folder, robot, *server));
    }
  }
  close(control);
  return absl::OkStatus();
}

}  // namespace
}  // namespace demorl

int main(int argc, char** argv) {
  demorl::BlockShutdownSignals();
  std::string robot, folder;
  demorl::EmulatedRobotOptions options;
  CLI::App app("A robot's twin behind emulated devices on pseudo-terminals.");
  app.add_option("--robot", robot, "leg or stochlite")->required();
  app.add_option("--folder", folder, "where links to the ports and the pipe `control` appear")->required();
  app.add_option("--slope-deg", options.slope_deg, "of the ground, uphill ahead of a robot that walks");
  CLI11_PARSE(app, argc, argv);
  const absl::Status status = demorl::Serve(robot, options, folder);
  if (!status.ok()) {
    std::cerr << status.message() << "\n";
  }
  return status.ok() ? 0 : 1;
}
