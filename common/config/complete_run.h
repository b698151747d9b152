#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "demorl/config/v1/run.pb.h"

namespace demorl {

// Fills what follows from other fields: the tables `env` and `mpc` with their limits, the real ratio, all
// defaults. Idempotent.
void CompleteRunConfig(demorl::config::v1::RunConfig* config);

// What a service reads: a file that holds a whole run, or a folder of layers (presets, a user's own values,
// addresses), whose files *.textproto are merged in the order of their names and then completed, with a small
// table "check" for `demorl check-run` besides. Overrides ("path=value") come after the files. NOT_FOUND for
// a folder without layers; INVALID_ARGUMENT naming what is out of range.
absl::StatusOr<demorl::config::v1::RunConfig> LoadRunConfig(const std::filesystem::path& path,
                                                            const std::vector<std::string>& overrides);

}  // namespace demorl
