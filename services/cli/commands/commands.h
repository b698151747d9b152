#pragma once

#include "CLI/CLI.hpp"

namespace demorl {

// Each adds one subcommand to `app`; when the user chooses it, it runs from the parser's callback and sets
// `*exit_status`. All print errors as one line, "demorl <command>: <what was asked, found, allowed>".
void AddTrainCommand(CLI::App& app, int* exit_status);
void AddUpCommand(CLI::App& app, int* exit_status);
void AddStatusCommand(CLI::App& app, int* exit_status);
void AddEvalCommand(CLI::App& app, int* exit_status);
void AddPlotCommand(CLI::App& app, int* exit_status);
void AddRenderCommand(CLI::App& app, int* exit_status);
void AddCompareCommand(CLI::App& app, int* exit_status);
void AddFollowCommand(CLI::App& app, int* exit_status);
void AddCheckRunCommand(CLI::App& app, int* exit_status);
void AddCheckConfigCommand(CLI::App& app, int* exit_status);
void AddExportCommand(CLI::App& app, int* exit_status);
void AddPolicyCommand(CLI::App& app, int* exit_status);
void AddReplayCommand(CLI::App& app, int* exit_status);
void AddReplayTicksCommand(CLI::App& app, int* exit_status);
void AddRobotCommand(CLI::App& app, int* exit_status);
void AddRobotDemoCommand(CLI::App& app, int* exit_status);
void AddCertsCommand(CLI::App& app, int* exit_status);

}  // namespace demorl
