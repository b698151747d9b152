#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "demorl/config/v1/run.pb.h"
#include "services/cli/up/supervisor.h"

namespace demorl {

// Gives each of `services` an address, where the configuration leaves the port open, and its folder in the
// run's.
absl::Status PlaceServices(const std::filesystem::path& folder, const std::vector<std::string>& services,
                           demorl::config::v1::RunConfig* config);

// The programs of `services`, from the folder of this one; each reads the run folder's services file and logs
// into its logs folder.
absl::StatusOr<std::vector<SupervisedProgram>> ProgramsOf(const std::filesystem::path& folder,
                                                          const std::vector<std::string>& services,
                                                          const demorl::config::v1::RunConfig& config);

// Where this program's executable lies, and those of the services beside it.
std::filesystem::path ProgramFolder();

}  // namespace demorl
