#include "common/robot/recording/replay_ticks.h"

#include <cstdio>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "common/base/status_macros.h"
#include "common/robot/recording/tick_log_reader.h"
#include "services/cli/commands/commands.h"
#include "services/cli/commands/run_options.h"

namespace demorl {
namespace {

void PrintReplay(const TickLogReader& log, const TickReplay& replay) {
  std::printf("%s: robot %s, %ld ticks of %s, %ld damaged\n", log.path().c_str(),
              log.header().robot_name.c_str(), replay.num_ticks,
              absl::FormatDuration(log.header().control_period).c_str(), log.num_damaged());
  std::printf("compared bit by bit: %ld actions of the policy, %ld commands of the safety envelope\n",
              replay.num_actions, replay.num_commands);
  for (const auto& [reason, count] : replay.skipped) {
    std::printf("not compared: %ld, %s\n", count, reason.c_str());
  }
}

absl::Status ReplayLog(const std::string& path) {
  ASSIGN_OR_RETURN(const std::unique_ptr<TickLogReader> log, TickLogReader::Open(path));
  const TickReplay replay = ReplayTicks(*log, {});
  PrintReplay(*log, replay);
  if (replay.first_difference.has_value()) {
    const TickReplay::Difference& first = *replay.first_difference;
    return absl::DataLossError(absl::StrCat(replay.num_different, " ticks differ; first tick ",
                                            first.tick_index, ", ", first.field, ": recorded ",
                                            first.recorded, ", replayed ", first.replayed));
  }
  std::printf("no difference\n");
  return absl::OkStatus();
}

}  // namespace

void AddReplayTicksCommand(CLI::App& app, int* exit_status) {
  CLI::App* command = app.add_subcommand(
      "replay-ticks", "Run a robot's log of ticks again, through policy and safety envelope");
  auto path = std::make_shared<std::string>();
  command->add_option("log", *path, "A ticks.log, the folder of one start, or that of all starts")
      ->required();
  command->callback([path, exit_status] { *exit_status = ReportStatus("replay-ticks", ReplayLog(*path)); });
}

}  // namespace demorl
