#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "CLI/CLI.hpp"
#include "absl/status/statusor.h"
#include "common/policy/safetensors.h"

namespace demorl {

// The options by which `eval`, `render` and `export` name a policy: a run folder, or a file and an
// environment.
struct PolicySourceOptions {
  std::string run;
  uint64_t version = 0;
  std::string policy_file;
  std::string environment_id;
};

// Adds --run, --version, --policy and --env.
void AddPolicySourceOptions(CLI::App& command, PolicySourceOptions* options);

struct PolicySource {
  std::filesystem::path file;
  TensorFile tensors;
  std::string environment_id;
};

// INVALID_ARGUMENT unless either --run or both --policy and --env are given; NOT_FOUND for a missing file or
// version.
absl::StatusOr<PolicySource> LoadPolicySource(const PolicySourceOptions& options);

}  // namespace demorl
