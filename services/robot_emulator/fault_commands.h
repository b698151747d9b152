#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "common/robot/emulation/emulator_server.h"

namespace demorl {

// Carries out one line of an emulator's control pipe:
//
//   unplug PORT | replug PORT        the cable
//   stuck PORT on|off                nothing is answered
//   duplicate PORT on|off            every answer twice
//   delay PORT MILLISECONDS          answers come late
//   corrupt PORT SHARE               this share of answers with a flipped bit
//   babble PORT BYTES                noise, per millisecond
//
// INVALID_ARGUMENT naming what was found and what is allowed.
class FaultCommands {
 public:
  // Borrows the server; `port_names` as its devices.
  FaultCommands(EmulatorServer* server, std::vector<std::string> port_names)
      : server_(*server), port_names_(std::move(port_names)), faults_(port_names_.size()) {}

  absl::Status Run(absl::string_view line);

 private:
  absl::Status Change(size_t port, absl::string_view what, absl::string_view value);

  EmulatorServer& server_;
  const std::vector<std::string> port_names_;
  std::vector<EmulatorFaults> faults_;
};

}  // namespace demorl
