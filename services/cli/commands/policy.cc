#include <cstdio>
#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "common/base/status_macros.h"
#include "services/cli/commands/commands.h"
#include "services/cli/commands/run_options.h"
#include "services/cli/run/run_access.h"
#include "services/snapshot/snapshot_client.h"

namespace demorl {
namespace {

using ::demorl::snapshot::v1::SNAPSHOT_KIND_POLICY;

struct PolicyOptions {
  std::string run;
  uint64_t version = 0;
};

absl::StatusOr<std::unique_ptr<SnapshotClient>> ConnectToStore(const std::string& run) {
  ASSIGN_OR_RETURN(const auto config, ReadRunConfig(run));
  ASSIGN_OR_RETURN(const ServiceChannels channels, ConnectToRun(run));
  return std::make_unique<SnapshotClient>(channels.at("snapshot"), config.run_id());
}

absl::Status List(const PolicyOptions& options) {
  ASSIGN_OR_RETURN(const auto client, ConnectToStore(options.run));
  ASSIGN_OR_RETURN(const auto listed, client->List(SNAPSHOT_KIND_POLICY, 0));
  uint64_t pinned = 0;
  for (const auto& [kind, version] : listed.pinned()) {
    if (kind.find("policy") != std::string::npos || kind.find("POLICY") != std::string::npos) {
      pinned = version;
    }
  }
  std::printf("%10s %12s %14s %10s %10s  %s\n", "VERSION", "UPDATES", "ENV ROWS", "DYNAMICS", "BYTES",
              "CREATED");
  for (const auto& snapshot : listed.snapshots()) {
    const absl::Time created = absl::FromUnixSeconds(snapshot.create_time().seconds());
    std::printf("%10lu %12lu %14lu %10lu %10lu  %s%s\n", snapshot.version(),
                snapshot.lineage().learner_step(), snapshot.lineage().environment_rows(),
                snapshot.lineage().dynamics_version(), snapshot.payload_bytes(),
                absl::FormatTime("%Y-%m-%d %H:%M:%S", created, absl::LocalTimeZone()).c_str(),
                snapshot.version() == pinned ? "  pinned" : "");
  }
  return absl::OkStatus();
}

absl::Status Pin(const PolicyOptions& options) {
  ASSIGN_OR_RETURN(const auto client, ConnectToStore(options.run));
  RETURN_IF_ERROR(client->Pin(SNAPSHOT_KIND_POLICY, options.version));
  std::printf("policy %lu is pinned: actors keep it until `demorl policy unpin`\n", options.version);
  return absl::OkStatus();
}

absl::Status Unpin(const PolicyOptions& options) {
  ASSIGN_OR_RETURN(const auto client, ConnectToStore(options.run));
  RETURN_IF_ERROR(client->Unpin(SNAPSHOT_KIND_POLICY));
  std::printf("actors follow the newest policy\n");
  return absl::OkStatus();
}

// Pins the version before the one that actors receive now.
absl::Status Rollback(const PolicyOptions& options) {
  ASSIGN_OR_RETURN(const auto client, ConnectToStore(options.run));
  ASSIGN_OR_RETURN(const auto current, client->Get(SNAPSHOT_KIND_POLICY, 0));
  ASSIGN_OR_RETURN(const auto listed, client->List(SNAPSHOT_KIND_POLICY, 0));
  for (const auto& snapshot : listed.snapshots()) {  // newest first
    if (snapshot.version() < current->metadata.version()) {
      PolicyOptions target = options;
      target.version = snapshot.version();
      return Pin(target);
    }
  }
  return absl::NotFoundError(
      absl::StrCat("no policy older than version ", current->metadata.version(), " is kept"));
}

using Action = absl::Status (*)(const PolicyOptions&);

void AddAction(CLI::App& policy, const std::string& name, const std::string& help, bool with_version,
               Action action, int* exit_status) {
  auto* command = policy.add_subcommand(name, help);
  auto options = std::make_shared<PolicyOptions>();
  command->add_option("--run", options->run, "Run folder of a run that is going on")->required();
  if (with_version) {
    command->add_option("version", options->version, "Policy version")->required();
  }
  command->callback([options, action, name, exit_status] {
    *exit_status = ReportStatus("policy " + name, action(*options));
  });
}

}  // namespace

void AddPolicyCommand(CLI::App& app, int* exit_status) {
  auto* policy = app.add_subcommand("policy", "List, pin, unpin or roll back the policies of a running run");
  policy->require_subcommand(1);
  AddAction(*policy, "list", "List stored versions", false, List, exit_status);
  AddAction(*policy, "pin", "Hold actors at a version", true, Pin, exit_status);
  AddAction(*policy, "unpin", "Let actors follow the newest version", false, Unpin, exit_status);
  AddAction(*policy, "rollback", "Pin the version before the current one", false, Rollback, exit_status);
}

}  // namespace demorl
