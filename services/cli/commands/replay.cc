#include <cstdio>
#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/base/status_macros.h"
#include "services/cli/commands/commands.h"
#include "services/cli/commands/run_options.h"
#include "services/cli/run/run_access.h"
#include "services/replay/replay_client.h"

namespace demorl {
namespace {

struct ReplayOptions {
  std::string run;
  std::string table = "env";
  std::string purged_table = "mpc";
  uint64_t position = 0;
  int64_t rows = 100;
  uint64_t dynamics_version = 0;
};

absl::StatusOr<std::unique_ptr<ReplayClient>> ConnectToReplay(const std::string& run) {
  ASSIGN_OR_RETURN(const auto config, ReadRunConfig(run));
  ASSIGN_OR_RETURN(const ServiceChannels channels, ConnectToRun(run));
  return std::make_unique<ReplayClient>(channels.at("replay"), config.run_id());
}

absl::Status ShowStats(const ReplayOptions& options) {
  ASSIGN_OR_RETURN(const auto client, ConnectToReplay(options.run));
  ASSIGN_OR_RETURN(const auto tables, client->ListTables());
  for (const auto& table : tables.tables()) {
    std::printf("%s: %lu rows of at most %lu, %lu inserted, %lu sampled, %lu episodes, %.1f MiB\n",
                table.name().c_str(), table.size(), table.max_size(), table.rows_inserted(),
                table.rows_sampled(), table.episodes(),
                static_cast<double>(table.memory_bytes()) / (1 << 20));
    const auto& limiter = table.rate_limiter();
    if (limiter.updates_per_row() > 0) {
      std::printf(
          "  %lu updates, %.3g per row; samplers waited %.1f s for rows, writers %.1f s for updates\n",
          limiter.updates(), limiter.updates_per_row(), limiter.waiting_for_inserts_seconds(),
          limiter.waiting_for_updates_seconds());
    }
    for (const auto& [reason, rows] : table.rows_quarantined()) {
      std::printf("  quarantined: %lu rows, %s\n", rows, reason.c_str());
    }
  }
  return absl::OkStatus();
}

void PrintSegment(const Segment& segment, int observation_size, int action_size) {
  for (int step = 0; step < segment.num_steps; ++step) {
    std::printf("%lu,%d,%lu,%d,%d,%d,%.9g", segment.episode_id, segment.first_step + step,
                segment.policy_versions[step], segment.terminated && step + 1 == segment.num_steps,
                segment.truncated && step + 1 == segment.num_steps, segment.intervened,
                static_cast<double>(segment.rewards[step]));
    for (int i = 0; i < action_size; ++i) {
      std::printf(",%.9g", static_cast<double>(segment.actions[step * action_size + i]));
    }
    for (int i = 0; i < observation_size; ++i) {
      std::printf(",%.9g", static_cast<double>(segment.observations[step * observation_size + i]));
    }
    std::printf("\n");
  }
}

absl::Status Dump(const ReplayOptions& options) {
  ASSIGN_OR_RETURN(const auto client, ConnectToReplay(options.run));
  ASSIGN_OR_RETURN(const auto table, client->GetTable(options.table));
  const uint64_t end =
      std::min<uint64_t>(table.rows_inserted(), options.position + static_cast<uint64_t>(options.rows));
  std::printf(
      "# episode_id,step,policy_version,terminated,truncated,intervened,reward,action...,observation...\n");
  const auto tail = client->OpenTail(options.table, options.position);
  for (uint64_t position = options.position; position < end;) {
    ASSIGN_OR_RETURN(const TailedRows rows, tail->Next(absl::Now() + absl::Seconds(10)));
    for (const Segment& segment : rows.chunk.segments) {
      PrintSegment(segment, rows.chunk.observation_size, rows.chunk.action_size);
    }
    position = rows.next_position;
  }
  return absl::OkStatus();
}

absl::Status Audit(const ReplayOptions& options) {
  ASSIGN_OR_RETURN(const auto client, ConnectToReplay(options.run));
  ASSIGN_OR_RETURN(const auto audit, client->Audit());
  std::printf("%-24s %-6s %6s %10s %10s %10s %10s %9s\n", "WRITER", "TABLE", "EPOCH", "ACCEPTED", "DURABLE",
              "ROWS", "REPEATED", "EPISODES");
  for (const auto& writer : audit.writers()) {
    std::printf("%-24s %-6s %6lu %10lu %10lu %10lu %10lu %9lu\n", writer.writer_id().c_str(),
                writer.table().c_str(), writer.writer_epoch(), writer.accepted_sequence(),
                writer.durable_sequence(), writer.rows(), writer.duplicate_chunks(), writer.episodes());
  }
  for (const std::string& violation : audit.violations()) {
    std::printf("VIOLATION: %s\n", violation.c_str());
  }
  if (audit.violations_size() > 0) {
    return absl::DataLossError(absl::StrCat(audit.violations_size(), " violations; want none"));
  }
  std::printf("every accepted row is present once or was evicted by policy\n");
  return absl::OkStatus();
}

absl::Status Purge(const ReplayOptions& options) {
  ASSIGN_OR_RETURN(const auto client, ConnectToReplay(options.run));
  ASSIGN_OR_RETURN(const int64_t removed,
                   client->PurgeDynamicsVersion(options.purged_table, options.dynamics_version));
  std::printf("removed %ld rows of dynamics version %lu from table %s\n", removed, options.dynamics_version,
              options.purged_table.c_str());
  return absl::OkStatus();
}

using Action = absl::Status (*)(const ReplayOptions&);

CLI::App* AddAction(CLI::App& replay, const std::string& name, const std::string& help, Action action,
                    const std::shared_ptr<ReplayOptions>& options, int* exit_status) {
  auto* command = replay.add_subcommand(name, help);
  command->add_option("--run", options->run, "Run folder of a run that is going on")->required();
  command->callback([options, action, name, exit_status] {
    *exit_status = ReportStatus("replay " + name, action(*options));
  });
  return command;
}

}  // namespace

void AddReplayCommand(CLI::App& app, int* exit_status) {
  auto* replay = app.add_subcommand("replay", "Look into the replay service of a running run");
  replay->require_subcommand(1);
  auto options = std::make_shared<ReplayOptions>();
  AddAction(*replay, "stats", "Sizes, limits and quarantine of all tables", ShowStats, options, exit_status);
  auto* dump = AddAction(*replay, "dump", "Rows as comma-separated values", Dump, options, exit_status);
  dump->add_option("--table", options->table)->capture_default_str();
  dump->add_option("--position", options->position, "Key of the first row")->capture_default_str();
  dump->add_option("--rows", options->rows)->capture_default_str()->check(CLI::PositiveNumber);
  AddAction(*replay, "audit", "Prove that nothing was lost or doubled", Audit, options, exit_status);
  auto* purge = AddAction(*replay, "purge", "Remove the planned rows of a bad dynamics version", Purge,
                          options, exit_status);
  purge->add_option("--table", options->purged_table)->capture_default_str();
  purge->add_option("--dynamics-version", options->dynamics_version)->required();
}

}  // namespace demorl
