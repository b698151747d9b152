#include "services/cli/robot/robot_demo.h"

#include <signal.h>

#include <cstdio>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "common/base/file_io.h"
#include "common/base/status_macros.h"
#include "common/config/loader.h"
#include "services/cli/robot/demo_operator.h"
#include "services/cli/robot/robot_check.h"
#include "services/cli/robot/robot_text.h"
#include "services/cli/run/run_access.h"
#include "services/cli/run/run_config.h"
#include "services/cli/run/run_folder.h"
#include "services/cli/run/service_names.h"
#include "services/cli/up/local_deployment.h"
#include "services/cli/up/supervisor.h"
#include "services/replay/replay_client.h"

namespace demorl {
namespace {

namespace fs = std::filesystem;
namespace pb = ::demorl::gateway::v1;
using ::demorl::config::v1::RunConfig;

constexpr absl::Duration kTendInterval = absl::Milliseconds(50);
constexpr absl::Duration kPatience = absl::Seconds(30);
// More than a robot that fell had still under way.
constexpr uint64_t kRowsOfGoingOn = 100;
// Of a whole learning run; the demonstration ends long before.
constexpr int64_t kEnvironmentSteps = 1'000'000;

// What the demonstration must know of a robot beside its configuration.
struct DemoRobot {
  std::string environment_id;
  // Somebody sets it on its feet then.
  bool can_fall = false;
};

absl::StatusOr<DemoRobot> FindDemoRobot(const std::string& name) {
  if (name == "leg") {
    return DemoRobot{.environment_id = "Leg2R-v0"};
  }
  if (name == "stochlite") {
    return DemoRobot{.environment_id = "StochLite-v0", .can_fall = true};
  }
  return absl::NotFoundError(absl::StrCat("no robot '", name, "'; known are leg and stochlite"));
}

void Say(const std::string& text) {
  std::printf("%s  %s\n", absl::FormatTime("%H:%M:%S", absl::Now(), absl::LocalTimeZone()).c_str(),
              text.c_str());
  std::fflush(stdout);
}

// The processes of a demonstration, tended by a thread of its own.
class DemoProcesses {
 public:
  explicit DemoProcesses(std::vector<SupervisedProgram> programs) : supervisor_(std::move(programs), Say) {}
  ~DemoProcesses() { Stop().IgnoreError(); }

  absl::Status Start() {
    {
      absl::MutexLock lock(&mutex_);
      RETURN_IF_ERROR(supervisor_.StartAll());
    }
    thread_ = std::thread([this] {
      while (!stop_.token().WaitFor(kTendInterval)) {
        absl::MutexLock lock(&mutex_);
        if (tended_.ok()) {
          tended_ = supervisor_.Tend();
        }
      }
      // Here, since programs that this thread has started again end with it.
      absl::MutexLock lock(&mutex_);
      stopped_ = supervisor_.StopAll(absl::Seconds(20));
    });
    return absl::OkStatus();
  }

  // kill -9, and waits until the program runs again.
  absl::Status Kill(const std::string& name) {
    const int killed = ProcessId(name);
    if (killed <= 0 || kill(killed, SIGKILL) != 0) {
      return absl::InternalError(absl::StrCat(name, " does not run"));
    }
    for (const absl::Time deadline = absl::Now() + kPatience; absl::Now() < deadline;) {
      RETURN_IF_ERROR(Tended());
      if (const int pid = ProcessId(name); pid > 0 && pid != killed) {
        return absl::OkStatus();
      }
      stop_.token().WaitFor(kTendInterval);
    }
    return absl::DeadlineExceededError(absl::StrCat(name, " was not started again"));
  }

  absl::Status Tended() {
    absl::MutexLock lock(&mutex_);
    return tended_;
  }

  absl::Status Stop() {
    stop_.RequestStop();
    if (thread_.joinable()) {
      thread_.join();
    }
    absl::MutexLock lock(&mutex_);
    return stopped_;
  }

 private:
  int ProcessId(const std::string& name) {
    absl::MutexLock lock(&mutex_);
    const auto pids = supervisor_.ProcessIds();
    const auto found = pids.find(name);
    return found == pids.end() ? -1 : found->second;
  }

  absl::Mutex mutex_;
  Supervisor supervisor_ ABSL_GUARDED_BY(mutex_);
  absl::Status tended_ ABSL_GUARDED_BY(mutex_);
  absl::Status stopped_ ABSL_GUARDED_BY(mutex_);
  StopSource stop_;
  std::thread thread_;
};

absl::StatusOr<RunConfig> MakeConfig(const RobotDemoOptions& options, const DemoRobot& robot) {
  ASSIGN_OR_RETURN(const fs::path presets, FindPresetsFolder());
  RunRequest request{
      .environment_id = robot.environment_id,
      .config_file =
          (presets.parent_path() / "robots" / absl::StrCat(options.robot, "_emulated.textproto")).string(),
      .environment_steps = kEnvironmentSteps,
      .seed = options.seed};
  ASSIGN_OR_RETURN(RunConfig config, ResolveRunConfig(request, presets));
  // The emulated ports.
  const fs::path ports = fs::absolute(options.folder) / "ports";
  for (std::string& port : *config.mutable_robot()->mutable_bus()->mutable_ports()) {
    port = (ports / port).string();
  }
  if (config.robot().has_imu()) {
    config.mutable_robot()->mutable_imu()->set_port((ports / config.robot().imu().port()).string());
  }
  return config;
}

SupervisedProgram EmulatorProgram(const RobotDemoOptions& options, const fs::path& folder) {
  return {.name = "robot_emulator",
          .command = {(ProgramFolder() / "demorl-robot-emulator").string(), "--robot", options.robot,
                      "--folder", (folder / "ports").string()},
          .log_file = folder / "logs" / "robot_emulator.log"};
}

// The mishaps, and what must come of each.
class Demo {
 public:
  Demo(const RobotDemoOptions& options, const DemoRobot& robot, const fs::path& folder, RunConfig config,
       const ServiceChannels& channels, DemoProcesses* processes, StopToken stop)
      : learn_time_(options.brief ? absl::Seconds(8) : absl::Seconds(options.learn_s)),
        can_fall_(robot.can_fall),
        folder_(folder),
        config_(std::move(config)),
        gateway_(GatewayOf(config_)),
        stop_(stop),
        processes_(*processes),
        operator_(channels.at(gateway_), config_.run_id(), SetOnItsFeet(), stop),
        replay_(channels.at("replay"), config_.run_id()) {}

  absl::Status Run() {
    RETURN_IF_ERROR(Begin());
    RETURN_IF_ERROR(PullCable());
    if (can_fall_) {
      RETURN_IF_ERROR(FallOver());
    }
    RETURN_IF_ERROR(KillWhileRobotGoesOn("sac_learner"));
    RETURN_IF_ERROR(KillWhileRobotGoesOn("replay"));
    RETURN_IF_ERROR(KillGateway());
    RETURN_IF_ERROR(PressEmergencyStop());
    RETURN_IF_ERROR(End());
    return Audit();
  }

 private:
  DemoOperator::PlaceRobot SetOnItsFeet() {
    return can_fall_ ? [this] { return TellEmulator("place"); } : DemoOperator::PlaceRobot();
  }

  absl::Status Begin() {
    RETURN_IF_ERROR(operator_.WaitUntilThere(absl::Seconds(60)));
    ASSIGN_OR_RETURN(const RobotCheck check, CheckRobot(operator_.client(), "robot-demo", stop_));
    std::printf("%s", CheckTable(check).c_str());
    if (!check.go()) {
      return absl::FailedPreconditionError("the robot's check says no go");
    }
    return Learn("armed; it learns in real time");
  }

  // For a while; limits that learning runs into are cleared as an operator beside the robot would.
  absl::Status Learn(const std::string& what) {
    RETURN_IF_ERROR(operator_.Arm());
    RETURN_IF_ERROR(operator_.KeepArmed(learn_time_));
    return Tell(what);
  }

  absl::Status Tell(const std::string& what) {
    RETURN_IF_ERROR(processes_.Tended());
    ASSIGN_OR_RETURN(const pb::WatchStateResponse state, operator_.client().GetState());
    Say(absl::StrCat(what, ": ", StateLine(state)));
    return absl::OkStatus();
  }

  absl::Status TellEmulator(const std::string& line) {
    return AppendToFile(folder_ / "ports" / "control", line + "\n");
  }

  absl::Status PullCable() {
    const std::string port = fs::path(config_.robot().bus().ports(0)).filename().string();
    RETURN_IF_ERROR(TellEmulator("unplug " + port));
    RETURN_IF_ERROR(operator_.Expect(pb::ROBOT_STATE_FAULT, "replies_lost", kPatience));
    RETURN_IF_ERROR(Tell("cable pulled"));
    RETURN_IF_ERROR(operator_.ExpectArmRefused());
    RETURN_IF_ERROR(TellEmulator("replug " + port));
    RETURN_IF_ERROR(operator_.ClearFault(kPatience));
    return Learn("cable back, cleared, armed again");
  }

  // It must wait, lying, for somebody to set it on its feet, and then go on.
  absl::Status FallOver() {
    const int num_placed = operator_.num_placed();
    ASSIGN_OR_RETURN(const pb::WatchStateResponse before, operator_.client().GetState());
    RETURN_IF_ERROR(TellEmulator("topple"));
    RETURN_IF_ERROR(operator_.KeepArmed(2 * DemoOperator::kLongestReset + learn_time_));
    if (operator_.num_placed() == num_placed) {
      return absl::InternalError("the robot was pushed over and did not wait for help");
    }
    ASSIGN_OR_RETURN(const pb::WatchStateResponse after, operator_.client().GetState());
    if (after.rows_recorded() < before.rows_recorded() + kRowsOfGoingOn) {
      return absl::InternalError(
          absl::StrCat("the robot did not go on when it was set on its feet: ", StateLine(after)));
    }
    return Tell("pushed over, set on its feet");
  }

  absl::Status KillWhileRobotGoesOn(const std::string& service) {
    ASSIGN_OR_RETURN(const pb::WatchStateResponse before, operator_.client().GetState());
    RETURN_IF_ERROR(processes_.Kill(service));
    RETURN_IF_ERROR(operator_.KeepArmed(learn_time_));
    ASSIGN_OR_RETURN(const pb::WatchStateResponse after, operator_.client().GetState());
    if (after.num_ticks() <= before.num_ticks() || after.rows_recorded() <= before.rows_recorded()) {
      return absl::InternalError(
          absl::StrCat("the robot did not go on without ", service, ": ", StateLine(after)));
    }
    return Tell(absl::StrCat(service, " killed; the robot went on"));
  }

  absl::Status KillGateway() {
    RETURN_IF_ERROR(processes_.Kill(gateway_));
    RETURN_IF_ERROR(operator_.WaitUntilThere(kPatience));
    RETURN_IF_ERROR(operator_.Expect(pb::ROBOT_STATE_DISARMED, "", kPatience));
    RETURN_IF_ERROR(Tell("gateway killed and back; motors stay off"));
    return Learn("armed again");
  }

  absl::Status PressEmergencyStop() {
    RETURN_IF_ERROR(operator_.client().EmergencyStop("robot-demo"));
    RETURN_IF_ERROR(operator_.Expect(pb::ROBOT_STATE_FAULT, "emergency_stop", absl::Seconds(5)));
    RETURN_IF_ERROR(operator_.ExpectArmRefused());
    RETURN_IF_ERROR(Tell("emergency stop, latched"));
    RETURN_IF_ERROR(operator_.ClearFault(kPatience));
    return Learn("cleared, armed again");
  }

  absl::Status End() {
    RETURN_IF_ERROR(operator_.client().Disarm());
    RETURN_IF_ERROR(operator_.Expect(pb::ROBOT_STATE_DISARMED, "", kPatience));
    RETURN_IF_ERROR(operator_.WaitUntilDurable(absl::Seconds(60)));
    return Tell("disarmed, everything recorded is durable");
  }

  absl::Status Audit() {
    ASSIGN_OR_RETURN(const auto audit, replay_.Audit());
    for (const std::string& violation : audit.violations()) {
      Say("VIOLATION: " + violation);
    }
    if (audit.violations_size() > 0) {
      return absl::DataLossError(absl::StrCat(audit.violations_size(), " violations; want none"));
    }
    ASSIGN_OR_RETURN(const auto table, replay_.GetTable("env"));
    Say(absl::StrFormat("audit clean: %d rows in table env; limits met while learning: %d, placed: %d",
                        table.rows_inserted(), operator_.num_cleared_limits(), operator_.num_placed()));
    return table.rows_inserted() > 0 ? absl::OkStatus() : absl::DataLossError("no row has arrived");
  }

  const absl::Duration learn_time_;
  const bool can_fall_;
  const fs::path folder_;
  RunConfig config_;
  const std::string gateway_;
  const StopToken stop_;
  DemoProcesses& processes_;
  DemoOperator operator_;
  ReplayClient replay_;
};

}  // namespace

absl::Status RunRobotDemo(const RobotDemoOptions& options, const StopToken& stop) {
  ASSIGN_OR_RETURN(const DemoRobot robot, FindDemoRobot(options.robot));
  ASSIGN_OR_RETURN(const RunConfig asked, MakeConfig(options, robot));
  ASSIGN_OR_RETURN(const std::unique_ptr<RunFolder> run, RunFolder::Open(options.folder, asked));
  const fs::path folder = fs::absolute(run->path());
  RunConfig config = run->config();
  const std::vector<std::string> services = ServicesOf(config);
  RETURN_IF_ERROR(PlaceServices(folder, services, &config));
  RETURN_IF_ERROR(MakeFolders(folder / "logs"));
  RETURN_IF_ERROR(WriteServicesFile(folder, config));
  ASSIGN_OR_RETURN(std::vector<SupervisedProgram> programs, ProgramsOf(folder, services, config));
  programs.insert(programs.begin(), EmulatorProgram(options, folder));
  DemoProcesses processes(std::move(programs));
  RETURN_IF_ERROR(processes.Start());
  ASSIGN_OR_RETURN(const ServiceChannels channels, ConnectToRun(folder));
  absl::Status outcome = Demo(options, robot, folder, config, channels, &processes, stop).Run();
  const absl::Status stopped = processes.Stop();
  RemoveServicesFile(folder);
  outcome.Update(stopped);
  Say(outcome.ok()
          ? "the robot came through all of it"
          : absl::StrCat("FAILED: ", outcome.message(), "; logs are in ", (folder / "logs").string()));
  return outcome;
}

}  // namespace demorl
