#pragma once

#include <filesystem>
#include <vector>

#include "absl/status/statusor.h"
#include "demorl/config/v1/run.pb.h"
#include "services/cli/certs/authority_folder.h"

namespace demorl {

// The certificates of a run: one for each service, for the names at which the others dial it, and one each
// for evaluator and operator. Each goes to folder / <service>, or without a folder where security.tls_dir has
// it read; INVALID_ARGUMENT if that is the same place for all.
absl::StatusOr<std::vector<CertificateRequest>> CertificatesOfRun(const demorl::config::v1::RunConfig& config,
                                                                  const std::filesystem::path& folder);

}  // namespace demorl
