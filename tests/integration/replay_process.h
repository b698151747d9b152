#pragma once

#include <filesystem>

#include "absl/strings/str_cat.h"
#include "tests/integration/service_process.h"

namespace demorl::testing {

// demorl-replay as a child.
class ReplayProcess : public ServiceProcess {
 public:
  ReplayProcess(const std::filesystem::path& config, int port)
      : ServiceProcess(DEMORL_REPLAY_BINARY, {"--config", config.string(), absl::StrCat("--port=", port)}) {}
};

}  // namespace demorl::testing
