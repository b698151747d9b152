#include "services/robot_emulator/control_commands.h"

#include <algorithm>
#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/base/status_macros.h"

namespace demorl {
namespace {

absl::Status ParseSwitch(absl::string_view text, bool* value) {
  if (text != "on" && text != "off") {
    return absl::InvalidArgumentError(absl::StrCat("'", text, "' is neither on nor off"));
  }
  *value = text == "on";
  return absl::OkStatus();
}

absl::Status ParseNumber(absl::string_view text, double maximum, double* value) {
  if (!absl::SimpleAtod(text, value) || !(*value >= 0) || *value > maximum) {
    return absl::InvalidArgumentError(absl::StrCat("'", text, "' is no number from 0 to ", maximum));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status ControlCommands::Run(absl::string_view line) {
  const std::vector<std::string> words = absl::StrSplit(line, ' ', absl::SkipEmpty());
  if (words.size() == 1 && (words[0] == "place" || words[0] == "topple")) {
    return Move(words[0] == "place" ? robot_.place : robot_.topple);
  }
  if (words.size() < 2 || words.size() > 3) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", line, "'; want `place`, `topple`, or a fault, a port and its value"));
  }
  const std::vector<std::string>& names = robot_.port_names;
  const auto port = std::find(names.begin(), names.end(), words[1]);
  if (port == names.end()) {
    return absl::InvalidArgumentError(
        absl::StrCat("no port '", words[1], "'; there are ", absl::StrJoin(names, ", ")));
  }
  return Change(port - names.begin(), words[0], words.size() == 3 ? words[2] : "");
}

absl::Status ControlCommands::Move(const std::function<void()>& move) {
  if (move == nullptr) {
    return absl::InvalidArgumentError("this robot is bolted down: nobody can move it");
  }
  server_.Inspect(move);
  return absl::OkStatus();
}

absl::Status ControlCommands::Change(size_t port, absl::string_view what, absl::string_view value) {
  EmulatorFaults& faults = faults_[port];
  double number = 0;
  if (what == "unplug") {
    faults.unplugged = true;
  } else if (what == "replug") {
    faults = {};
    return server_.Replug(port);
  } else if (what == "stuck") {
    RETURN_IF_ERROR(ParseSwitch(value, &faults.stuck));
  } else if (what == "duplicate") {
    RETURN_IF_ERROR(ParseSwitch(value, &faults.duplicate_replies));
  } else if (what == "delay") {
    RETURN_IF_ERROR(ParseNumber(value, 1e4, &number));
    faults.reply_delay = absl::Milliseconds(number);
  } else if (what == "corrupt") {
    RETURN_IF_ERROR(ParseNumber(value, 1, &faults.corrupted_share));
  } else if (what == "babble") {
    RETURN_IF_ERROR(ParseNumber(value, 4096, &number));
    faults.babble_bytes = static_cast<int>(number);
  } else {
    return absl::InvalidArgumentError(absl::StrCat(
        "no fault '", what, "'; there are unplug, replug, stuck, duplicate, delay, corrupt and babble"));
  }
  server_.SetFaults(port, faults);
  return absl::OkStatus();
}

}  // namespace demorl
