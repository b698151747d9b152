#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>

#include "common/robot/drivers/actuator_bus.h"
#include "common/robot/recording/tick_log_reader.h"
#include "common/robot/recording/tick_record.h"

namespace demorl {

// What running a log of ticks once more has shown.
struct TickReplay {
  // Of one number that came out otherwise.
  struct Difference {
    uint64_t tick_index = 0;
    std::string field;  // "action[2]", "commanded[0].torque_nm"
    double recorded = 0;
    double replayed = 0;
  };

  int64_t num_ticks = 0;
  // Ticks of which this was computed again and compared.
  int64_t num_actions = 0;
  int64_t num_requests = 0;
  int64_t num_commands = 0;
  // Ticks whose action or request could not be computed again, by reason.
  std::map<std::string, int64_t> skipped;
  // Ticks with any difference.
  int64_t num_different = 0;
  std::optional<Difference> first_difference;
};

// How a robot's task makes joint commands [J] of a recorded tick's action. False if that depends on more than
// the record tells.
using TickRequest = std::function<bool(const TickRecord& record, std::span<JointCommand> requested)>;

// Runs every tick of a log through policy and safety envelope again, and compares bit by bit: the action with
// that of the policy on the recorded observation and random state (or with the uniform draw), the request
// with that of `request` (which may be empty), the command and the clamps with those of the envelope. The
// same build on the same kind of processor gives the same bits.
TickReplay ReplayTicks(TickLogReader& log, const TickRequest& request);

}  // namespace demorl
