// Planned rows a second of one planner and of several that share the rounds, end to end: real replay,
// snapshot and planner processes. A new dynamics version is published as soon as a round is complete, so that
// publishing, claiming and appending count. planner_scale_bench [--seconds S] [--starts N] [--planners N]
// Prints one JSON line per figure.

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/base/file_io.h"
#include "common/base/random.h"
#include "common/base/status_macros.h"
#include "common/bench/server_process.h"
#include "common/env/registry.h"
#include "common/policy/safetensors.h"
#include "common/rpc/channel_factory.h"
#include "services/mpc_rollout/bench/random_networks.h"
#include "services/replay/replay_client.h"
#include "services/snapshot/snapshot_client.h"

namespace demorl {
namespace {

constexpr char kEnvironment[] = "HalfCheetah-v5";
constexpr int kHorizonSteps = 5;
constexpr int kPopulation = 100;
constexpr absl::Duration kPatience = absl::Minutes(2);

struct Options {
  int seconds = 30;
  int start_states = 400;
  int max_planners = 2;
};

// Replay, the snapshot service, and planners, of one run whose folder is deleted at the end.
class PlanningRun {
 public:
  static absl::StatusOr<std::unique_ptr<PlanningRun>> Start(const Options& options, int num_planners) {
    auto run = std::unique_ptr<PlanningRun>(new PlanningRun(options));
    RETURN_IF_ERROR(run->StartStores());
    RETURN_IF_ERROR(run->AppendRealRows());
    RETURN_IF_ERROR(run->PublishNetworks());
    for (int i = 0; i < num_planners; ++i) {
      run->planners_.push_back(run->StartService("mpc-rollout", absl::StrCat("planner-", i)));
    }
    return run;
  }
  ~PlanningRun() {
    planners_.clear();
    replay_process_.reset();
    snapshot_process_.reset();
    std::filesystem::remove_all(folder_);
  }

  // Publishes dynamics and waits until all rows of their round are in replay.
  absl::Status CompleteRound() {
    const uint64_t complete = rows_ + static_cast<uint64_t>(options_.start_states) * kHorizonSteps;
    RETURN_IF_ERROR(Publish(demorl::snapshot::v1::SNAPSHOT_KIND_DYNAMICS, RandomDynamics(random_)));
    const absl::Time deadline = absl::Now() + kPatience;
    while (rows_ < complete) {
      if (absl::Now() > deadline) {
        return absl::DeadlineExceededError(absl::StrCat("a planning round with ", rows_, " of ", complete,
                                                        " rows after ", absl::FormatDuration(kPatience)));
      }
      absl::SleepFor(absl::Milliseconds(5));
      ASSIGN_OR_RETURN(const auto table, replay_->GetTable("mpc"));
      rows_ = table.rows_inserted();
    }
    return absl::OkStatus();
  }

  uint64_t rows() const { return rows_; }

 private:
  explicit PlanningRun(const Options& options) : options_(options) {
    std::string pattern = (std::filesystem::temp_directory_path() / "demorl_planners_XXXXXX").string();
    folder_ = mkdtemp(pattern.data());
  }

  std::filesystem::path config() const { return folder_ / "run.textproto"; }

  absl::Status WriteConfig(const std::string& services) {
    return WriteFileAtomically(
        config(),
        absl::StrCat("environment: '", kEnvironment, "' run_id: 'bench' device: 'cpu'\n",
                     "replay { tables { name: 'env' durability: DURABILITY_NONE } ",
                     "tables { name: 'mpc' durability: DURABILITY_NONE retained_rounds: 2 } }\n",
                     "planner { num_start_states: ", options_.start_states, " population_size: ", kPopulation,
                     " horizon { start_value: ", kHorizonSteps, " end_value: ", kHorizonSteps, " } }\n",
                     "services { ", services, " mpc_rollout { address: '127.0.0.1:0' } }\n"));
  }

  std::unique_ptr<ServerProcess> StartService(const std::string& service, const std::string& instance) {
    std::string option = absl::StrCat("--override=services.mpc_rollout.instance=", instance);
    return std::make_unique<ServerProcess>(
        absl::StrCat(Beside(absl::StrCat("demorl-", service)), " --config ", config().string(),
                     instance.empty() ? "" : " ", instance.empty() ? "" : option));
  }

  absl::Status StartStores() {
    RETURN_IF_ERROR(WriteConfig("replay { address: '127.0.0.1:0' } snapshot { address: '127.0.0.1:0' }"));
    replay_process_ = StartService("replay", "");
    snapshot_process_ = StartService("snapshot", "");
    const std::string replay = absl::StrCat("127.0.0.1:", replay_process_->port());
    const std::string snapshot = absl::StrCat("127.0.0.1:", snapshot_process_->port());
    replay_ = std::make_unique<ReplayClient>(MakeChannel(replay), "bench");
    snapshots_ = std::make_unique<SnapshotClient>(MakeChannel(snapshot), "bench");
    return WriteConfig(
        absl::StrCat("replay { address: '", replay, "' } snapshot { address: '", snapshot, "' }"));
  }

  absl::Status AppendRealRows() {
    constexpr int kRows = 1000;
    ASSIGN_OR_RETURN(const EnvironmentSpec spec, GetEnvironmentSpec(kEnvironment));
    const auto writer = replay_->OpenWriter(
        {.table = "env", .writer_id = "bench", .writer_epoch = 1, .environment = spec, .simulated = false});
    Segment segment{.episode_id = 1, .num_steps = kRows, .truncated = true};
    segment.observations.resize((kRows + 1) * kObservations);
    random_.FillNormal(segment.observations);
    segment.actions.assign(kRows * kActions, 0.0F);
    segment.rewards.assign(kRows, 0.0F);
    segment.policy_versions.assign(kRows, 0);
    TransitionChunk chunk{.observation_size = kObservations, .action_size = kActions};
    chunk.segments.push_back(std::move(segment));
    RETURN_IF_ERROR(writer->Append(chunk, absl::Now() + kPatience));
    return writer->Flush(absl::Now() + kPatience);
  }

  absl::Status PublishNetworks() {
    RETURN_IF_ERROR(Publish(demorl::snapshot::v1::SNAPSHOT_KIND_POLICY, RandomPolicyTensors(random_)));
    return Publish(demorl::snapshot::v1::SNAPSHOT_KIND_VALUE, RandomValueTensors(random_));
  }

  absl::Status Publish(demorl::snapshot::v1::SnapshotKind kind, const TensorFile& tensors) {
    ASSIGN_OR_RETURN(const EnvironmentSpec spec, GetEnvironmentSpec(kEnvironment));
    auto metadata = MakeSnapshotMetadata(spec, "bench");
    metadata.set_kind(kind);
    return snapshots_->Publish(metadata, EncodeSafetensors(tensors), absl::Now() + kPatience).status();
  }

  const Options options_;
  std::filesystem::path folder_;
  Random random_{1};
  std::unique_ptr<ServerProcess> replay_process_, snapshot_process_;
  std::unique_ptr<ReplayClient> replay_;
  std::unique_ptr<SnapshotClient> snapshots_;
  std::vector<std::unique_ptr<ServerProcess>> planners_;
  uint64_t rows_ = 0;
};

absl::Status Measure(const Options& options, int num_planners) {
  ASSIGN_OR_RETURN(const auto run, PlanningRun::Start(options, num_planners));
  RETURN_IF_ERROR(run->CompleteRound());  // each planner has its models from here on
  RETURN_IF_ERROR(run->CompleteRound());
  const absl::Time begin = absl::Now();
  const uint64_t rows_before = run->rows();
  int rounds = 0;
  while (absl::Now() < begin + absl::Seconds(options.seconds)) {
    RETURN_IF_ERROR(run->CompleteRound());
    ++rounds;
  }
  const double seconds = absl::ToDoubleSeconds(absl::Now() - begin);
  const double rows = static_cast<double>(run->rows() - rows_before);
  double load[1] = {0};
  getloadavg(load, 1);
  std::printf(
      "{\"figure\": \"planned_rows\", \"unit\": \"rows/s\", \"value\": %.4g, \"planners\": %d, \"starts\": "
      "%d, "
      "\"model_rows_per_s\": %.4g, \"rounds\": %d, \"seconds\": %.1f, \"load_average\": %.1f}\n",
      rows / seconds, num_planners, options.start_states, rows * kPopulation / seconds, rounds, seconds,
      load[0]);
  std::fflush(stdout);
  return absl::OkStatus();
}

// "--name value" pairs into the options; false for anything else.
bool ParseFlags(int argc, char** argv, Options* options) {
  for (int i = 1; i < argc; i += 2) {
    const std::string name = argv[i];
    int* const value = name == "--seconds"    ? &options->seconds
                       : name == "--starts"   ? &options->start_states
                       : name == "--planners" ? &options->max_planners
                                              : nullptr;
    if (value == nullptr || i + 1 == argc || (*value = std::atoi(argv[i + 1])) <= 0) {
      return false;
    }
  }
  return true;
}

int Main(int argc, char** argv) {
  Options options;
  if (!ParseFlags(argc, argv, &options)) {
    std::fprintf(stderr, "usage: %s [--seconds S] [--starts N] [--planners N], each a number above 0\n",
                 argv[0]);
    return 1;
  }
  for (int num_planners = 1; num_planners <= options.max_planners; ++num_planners) {
    const absl::Status status = Measure(options, num_planners);
    if (!status.ok()) {
      std::fprintf(stderr, "%s\n", status.ToString().c_str());
      return 1;
    }
  }
  return 0;
}

}  // namespace
}  // namespace demorl

int main(int argc, char** argv) { return demorl::Main(argc, argv); }
