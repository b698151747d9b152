#include <unistd.h>

#include <cmath>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "common/base/status_macros.h"
#include "common/rpc/channel_factory.h"
#include "services/cli/commands/commands.h"
#include "services/cli/commands/run_options.h"
#include "services/cli/control_client.h"
#include "services/cli/drive/drive_robot.h"
#include "services/cli/drive/operator_input.h"
#include "services/cli/robot/held_robot.h"
#include "services/cli/robot/robot_check.h"
#include "services/cli/robot/robot_demo.h"
#include "services/cli/robot/robot_text.h"
#include "services/cli/run/run_access.h"
#include "services/cli/run/signal_stop.h"
#include "services/robot_gateway/robot_gateway_client.h"

namespace demorl {
namespace {

namespace pb = ::demorl::gateway::v1;

struct RobotOptions {
  std::string gateway;
  // Both empty for plain text, or for what the environment names.
  std::string tls_dir;
  std::string token_file;
  std::string holder;
  double lease_s = 1.5;
  bool jog = false;
  bool dry_run = false;
  bool watch = false;
  int joint = 0;
  double velocity_rad_s = 0;
  double duration_s = 0.5;
  // Empty for the keyboard.
  std::string gamepad;
  GamepadLayout layout;
};

std::string DefaultHolder() {
  char host[256] = {};
  gethostname(host, sizeof(host) - 1);
  const char* user = getenv("USER");
  return absl::StrCat(user == nullptr ? "operator" : user, "@", host);
}

// The gateway, asked first which run it belongs to.
absl::StatusOr<std::unique_ptr<RobotGatewayClient>> Connect(const RobotOptions& options) {
  demorl::config::v1::SecurityConfig config = OperatorSecurity({});
  if (!options.tls_dir.empty()) {
    config.set_tls_dir(options.tls_dir);
  }
  if (!options.token_file.empty()) {
    config.set_token_file(options.token_file);
  }
  ASSIGN_OR_RETURN(const std::unique_ptr<TransportSecurity> security, TransportSecurity::Create(config));
  const std::shared_ptr<grpc::Channel> channel = MakeChannel(options.gateway, nullptr, security.get());
  ControlClient control(channel);
  ASSIGN_OR_RETURN(const auto status, control.GetStatus());
  return std::make_unique<RobotGatewayClient>(channel, status.run_id());
}

void PrintState(const pb::WatchStateResponse& state) { std::printf("%s\n", StateLine(state).c_str()); }

// Keeps the lease alive and says what the robot does, until told to stop or the robot has stopped by itself.
absl::Status HoldLease(HeldRobot& robot, const StopToken& stop) {
  pb::RobotState seen = pb::ROBOT_STATE_UNSPECIFIED;
  bool has_acted = false;
  const absl::Time refused_after = absl::Now() + robot.lease();
  while (!stop.WaitFor(robot.lease() / 4)) {
    ASSIGN_OR_RETURN(const pb::RobotState state, robot.Renew());
    const bool acts = state == pb::ROBOT_STATE_ARMING || state == pb::ROBOT_STATE_ARMED;
    has_acted = has_acted || acts;
    if (state != seen) {
      ASSIGN_OR_RETURN(const pb::WatchStateResponse all, robot.client().GetState());
      PrintState(all);
      std::fflush(stdout);
    }
    seen = state;
    if (!acts && (has_acted || absl::Now() > refused_after)) {
      return absl::AbortedError(has_acted ? "the robot has stopped by itself (above)"
                                          : "the robot does not arm (above says why)");
    }
  }
  return absl::OkStatus();
}

absl::Status Arm(const RobotOptions& options, RobotGatewayClient& client) {
  SignalStop stop;
  const pb::ArmMode mode = options.jog       ? pb::ARM_MODE_JOG
                           : options.dry_run ? pb::ARM_MODE_DRY_RUN
                                             : pb::ARM_MODE_LEARN;
  ASSIGN_OR_RETURN(const std::unique_ptr<HeldRobot> robot,
                   HeldRobot::Arm(&client, options.holder, absl::Seconds(options.lease_s), mode));
  std::printf("held as %s; Ctrl-C disarms\n", options.holder.c_str());
  std::fflush(stdout);
  return HoldLease(*robot, stop.token());
}

// Arms to jog, moves one joint, and disarms.
absl::Status Jog(const RobotOptions& options, RobotGatewayClient& client) {
  constexpr absl::Duration kStep = absl::Milliseconds(100);
  SignalStop stop;
  ASSIGN_OR_RETURN(const std::unique_ptr<HeldRobot> robot,
                   HeldRobot::Arm(&client, options.holder, absl::Seconds(options.lease_s), pb::ARM_MODE_JOG));
  RETURN_IF_ERROR(WaitUntilArmed(client, robot->lease_id(), stop.token()));
  const absl::Time end = absl::Now() + absl::Seconds(options.duration_s);
  while (absl::Now() < end && !stop.token().stop_requested()) {
    RETURN_IF_ERROR(robot->Renew().status());
    RETURN_IF_ERROR(client.Jog(robot->lease_id(), options.joint, options.velocity_rad_s, 2 * kStep));
    stop.token().WaitFor(kStep);
  }
  ASSIGN_OR_RETURN(const pb::WatchStateResponse state, client.GetState());
  PrintState(state);
  return absl::OkStatus();
}

// Arms to learn; the policy acts, or random actions, as long as the operator's hands are off.
absl::Status Drive(const RobotOptions& options, RobotGatewayClient& client) {
  SignalStop stop;
  ASSIGN_OR_RETURN(const pb::WatchStateResponse about, client.GetState());
  std::vector<std::string> axis_names;
  for (const pb::OperatorAxis& axis : about.operator_axes()) {
    axis_names.push_back(axis.name());
  }
  const int num_axes = static_cast<int>(axis_names.size());
  std::unique_ptr<OperatorInput> input;
  if (options.gamepad.empty()) {
    ASSIGN_OR_RETURN(input, KeyboardInput::Open(STDIN_FILENO, num_axes));
  } else {
    ASSIGN_OR_RETURN(input, GamepadInput::Open(options.gamepad, options.layout, num_axes));
  }
  ASSIGN_OR_RETURN(
      const std::unique_ptr<HeldRobot> robot,
      HeldRobot::Arm(&client, options.holder, absl::Seconds(options.lease_s), pb::ARM_MODE_LEARN));
  RETURN_IF_ERROR(WaitUntilArmed(client, robot->lease_id(), stop.token()));
  std::printf("%s; Ctrl-C disarms\n", options.gamepad.empty()
                                          ? KeyLegend(axis_names).c_str()
                                          : absl::StrCat("hold button ", options.layout.dead_man_button,
                                                         " to steer ", absl::StrJoin(axis_names, ", "))
                                                .c_str());
  return DriveRobot(*robot, *input, stop.token());
}

absl::Status ShowState(const RobotOptions& options, RobotGatewayClient& client) {
  if (!options.watch) {
    ASSIGN_OR_RETURN(const pb::WatchStateResponse state, client.GetState());
    std::printf("%s", StateTable(state).c_str());
    return absl::OkStatus();
  }
  SignalStop stop;
  return client.WatchState(absl::Milliseconds(200), [&](const pb::WatchStateResponse& state) {
    PrintState(state);
    std::fflush(stdout);
    return !stop.token().stop_requested();
  });
}

absl::Status Check(const RobotOptions& options, RobotGatewayClient& client) {
  SignalStop stop;
  ASSIGN_OR_RETURN(const RobotCheck check, CheckRobot(client, options.holder, stop.token()));
  std::printf("%s", CheckTable(check).c_str());
  return check.go() ? absl::OkStatus() : absl::FailedPreconditionError("NO GO");
}

using RobotAction = std::function<absl::Status(const RobotOptions&, RobotGatewayClient&)>;

CLI::App* AddAction(CLI::App* robot, const std::string& name, const std::string& help,
                    const std::shared_ptr<RobotOptions>& options, int* exit_status,
                    const RobotAction& action) {
  CLI::App* command = robot->add_subcommand(name, help);
  command->add_option("--gateway", options->gateway, "the gateway's address, host:port")->required();
  command->add_option("--tls-dir", options->tls_dir,
                      "folder of tls.crt, tls.key and ca.crt of an operator; DEMORL_TLS_DIR by default");
  command->add_option("--token-file", options->token_file,
                      "bearer token in place of tls.crt and tls.key; DEMORL_TOKEN_FILE by default");
  command->callback([=] {
    absl::StatusOr<std::unique_ptr<RobotGatewayClient>> client = Connect(*options);
    *exit_status = ReportStatus(absl::StrCat("robot ", name),
                                client.ok() ? action(*options, **client) : client.status());
  });
  return command;
}

}  // namespace

void AddRobotDemoCommand(CLI::App& app, int* exit_status) {
  CLI::App* command =
      app.add_subcommand("robot-demo", "A robot's whole life on this machine, mishaps and all");
  auto options = std::make_shared<RobotDemoOptions>();
  auto out = std::make_shared<std::string>();
  command->add_option("robot", options->robot, "leg or stochlite")
      ->required()
      ->check(CLI::IsMember({"leg", "stochlite"}));
  command->add_flag("--short", options->brief, "Ends within two minutes");
  command->add_option("--learn", options->learn_s, "Seconds of learning between two mishaps")
      ->check(CLI::Range(1.0, 1e6));
  command->add_option("--seed", options->seed);
  command->add_option("--out", *out, "Folder of the run; runs/<robot>-demo by default");
  command->callback([=] {
    options->folder = out->empty() ? absl::StrCat("runs/", options->robot, "-demo") : *out;
    SignalStop stop;
    *exit_status = ReportStatus("robot-demo", RunRobotDemo(*options, stop.token()));
  });
}

void AddRobotCommand(CLI::App& app, int* exit_status) {
  auto options = std::make_shared<RobotOptions>();
  options->holder = DefaultHolder();
  CLI::App* robot = app.add_subcommand("robot", "arm, stop, watch and check a robot behind a gateway");
  robot->require_subcommand(1);

  CLI::App* arm =
      AddAction(robot, "arm", "lets the robot move as long as this command runs", options, exit_status, Arm);
  arm->add_option("--holder", options->holder, "who holds the robot, as others see it");
  arm->add_option("--lease", options->lease_s, "seconds without a heartbeat after which the robot stops")
      ->check(CLI::Range(0.2, 60.0));
  CLI::Option* jog_flag = arm->add_flag("--jog", options->jog, "to hold still and be jogged, not to learn");
  arm->add_flag("--dry-run", options->dry_run, "with motors off")->excludes(jog_flag);

  AddAction(robot, "disarm", "turns the motors off", options, exit_status,
            [](const RobotOptions&, RobotGatewayClient& client) { return client.Disarm(); });
  AddAction(robot, "estop", "stops the robot at once; latched until `clear`", options, exit_status,
            [](const RobotOptions& options, RobotGatewayClient& client) {
              return client.EmergencyStop(options.holder);
            });
  AddAction(robot, "clear", "ends a latched fault, on the gateway's own machine", options, exit_status,
            [](const RobotOptions&, RobotGatewayClient& client) { return client.ClearFault(); });
  CLI::App* state = AddAction(robot, "state", "what the robot does", options, exit_status, ShowState);
  state->add_flag("--watch", options->watch, "goes on, a line each 0.2 s");

  CLI::App* jog = AddAction(robot, "jog", "moves one joint", options, exit_status, Jog);
  jog->add_option("joint", options->joint, "number of the joint, from 0")->required();
  jog->add_option("velocity", options->velocity_rad_s, "rad/s")->required();
  jog->add_option("--duration", options->duration_s, "seconds")->check(CLI::Range(0.05, 60.0));
  jog->add_option("--holder", options->holder, "who holds the robot, as others see it");

  CLI::App* drive =
      AddAction(robot, "drive", "lets the robot learn, and an operator act in its policy's place", options,
                exit_status, Drive);
  drive->add_option("--gamepad", options->gamepad,
                    "a joystick device, /dev/input/js0 say; without, the keyboard");
  drive
      ->add_option("--sticks", options->layout.sticks,
                   "the pad's axes that steer, in the order of the robot's")
      ->delimiter(',')
      ->capture_default_str();
  drive->add_option("--dead-man", options->layout.dead_man_button, "the pad's button that must be held")
      ->capture_default_str();
  drive->add_option("--holder", options->holder, "who holds the robot, as others see it");
  drive->add_option("--lease", options->lease_s, "seconds without a heartbeat after which the robot stops")
      ->check(CLI::Range(0.2, 60.0));

  CLI::App* check = AddAction(robot, "check", "goes through what must be well before arming; motors stay off",
                              options, exit_status, Check);
  check->add_option("--holder", options->holder, "who holds the robot, as others see it");
}

}  // namespace demorl
