#pragma once

#include <filesystem>
#include <memory>

#include "absl/status/statusor.h"
#include "grpcpp/security/credentials.h"

namespace demorl {

// Shows the token in a file as bearer token with each call; read again when it changes. Errors of reading,
// and INVALID_ARGUMENT for a file without a token, now; a file that goes bad later fails the calls as
// UNAUTHENTICATED.
absl::StatusOr<std::shared_ptr<grpc::CallCredentials>> MakeTokenCredentials(
    const std::filesystem::path& file);

}  // namespace demorl
