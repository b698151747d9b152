#include "services/cli/up/local_deployment.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "common/base/status_macros.h"
#include "services/cli/run/free_port.h"
#include "services/cli/run/python_actor.h"
#include "services/cli/run/run_folder.h"
#include "services/cli/run/service_names.h"
#include "services/cli/run/task_lookup.h"

namespace demorl {

namespace fs = std::filesystem;
using ::demorl::config::v1::RunConfig;
using ::demorl::config::v1::ServerConfig;

absl::Status PlaceServices(const fs::path& folder, const std::vector<std::string>& services,
                           RunConfig* config) {
  for (const std::string& service : services) {
    ServerConfig* server = MutableServerConfig(service, config);
    const std::string address = server->address();
    if (address.size() >= 2 && address.substr(address.size() - 2) == ":0") {
      ASSIGN_OR_RETURN(const int port, FindFreePort());
      server->set_address(absl::StrCat(address.substr(0, address.size() - 1), port));
    }
    if (!server->has_data_dir()) {
      server->set_data_dir((folder / ServiceFolder(service)).string());
    }
  }
  return absl::OkStatus();
}

fs::path ProgramFolder() { return fs::read_symlink("/proc/self/exe").parent_path(); }

absl::StatusOr<std::vector<SupervisedProgram>> ProgramsOf(const fs::path& folder,
                                                          const std::vector<std::string>& services,
                                                          const RunConfig& config) {
  std::vector<SupervisedProgram> programs;
  for (const std::string& service : services) {
    SupervisedProgram program{.name = service, .log_file = folder / "logs" / absl::StrCat(service, ".log")};
    if (service == "actor" && !IsNativeTask(config.environment())) {
      ASSIGN_OR_RETURN(GymnasiumCommand command, MakePythonActorCommand(config));
      program.command = std::move(command.arguments);
      program.environment = std::move(command.environment);
    } else {
      const std::string binary = absl::StrCat("demorl-", absl::StrReplaceAll(service, {{"_", "-"}}));
      program.command = {(ProgramFolder() / binary).string(), "--config", (folder / kServicesFile).string()};
    }
    programs.push_back(std::move(program));
  }
  return programs;
}

}  // namespace demorl
