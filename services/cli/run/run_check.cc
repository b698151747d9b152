#include "services/cli/run/run_check.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <random>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/base/status_macros.h"

namespace demorl {
namespace {

using ::demorl::snapshot::v1::SNAPSHOT_KIND_POLICY;

constexpr char kTable[] = "check";
constexpr int kNumRows = 64;  // all that the table holds: nothing of an earlier check is left
constexpr int kBatchRows = 16;
constexpr absl::Duration kRetryInterval = absl::Milliseconds(500);

std::string WriterId() {
  std::array<char, 256> host_name{};
  gethostname(host_name.data(), host_name.size() - 1);
  return absl::StrCat("check-run/", host_name.data());
}

EnvironmentSpec CheckSpec() {
  return {.environment_id = "check",
          .observation_size = 1,
          .action_size = 1,
          .command_minimum = {-1},
          .command_maximum = {1},
          .control_period = absl::Seconds(1)};
}

// Rows whose rewards count up from `first_reward`.
TransitionChunk CheckRows(float first_reward) {
  Segment segment;
  segment.num_steps = kNumRows;
  segment.observations.assign(kNumRows + 1, 0);
  segment.actions.assign(kNumRows, 0);
  segment.policy_versions.assign(kNumRows, 0);
  for (int i = 0; i < kNumRows; ++i) {
    segment.rewards.push_back(first_reward + static_cast<float>(i));
  }
  segment.truncated = true;
  return {.observation_size = 1, .action_size = 1, .segments = {std::move(segment)}};
}

// Asks again as long as the service is not there, or has not got yet what is asked for.
template <typename T>
absl::StatusOr<T> AskUntil(absl::Time deadline, bool may_come_later,
                           const std::function<absl::StatusOr<T>()>& ask) {
  while (true) {
    absl::StatusOr<T> answer = ask();
    const bool again = absl::IsUnavailable(answer.status()) || absl::IsDeadlineExceeded(answer.status()) ||
                       (may_come_later && absl::IsNotFound(answer.status()));
    if (!again || absl::Now() + kRetryInterval > deadline) {
      return answer;
    }
    absl::SleepFor(kRetryInterval);
  }
}

absl::Status Prefixed(const std::string& what, const absl::Status& status) {
  return status.ok() ? status : absl::Status(status.code(), absl::StrCat(what, ": ", status.message()));
}

absl::Status WriteRows(ReplayClient& replay, float first_reward, absl::Time deadline) {
  const auto writer =
      replay.OpenWriter({.table = kTable,
                         .writer_id = WriterId(),
                         .writer_epoch = static_cast<uint64_t>(absl::GetCurrentTimeNanos()) / 1000,
                         .environment = CheckSpec(),
                         .simulated = false});
  RETURN_IF_ERROR(writer->Append(CheckRows(first_reward), deadline));
  const absl::Status flushed = writer->Flush(deadline);
  writer->Close();
  return flushed;
}

absl::Status DrawRows(ReplayClient& replay, float first_reward, absl::Time deadline) {
  const auto sampler = replay.OpenSampler(
      {.shares = {{kTable, kBatchRows}}, .batches_in_flight = 1, .counts_as_update = false});
  absl::StatusOr<SampledBatch> sampled = sampler->Next(deadline);
  sampler->Close();
  RETURN_IF_ERROR(sampled.status());
  const std::vector<float>& rewards = sampled->batch.rewards;
  const bool ours = std::all_of(rewards.begin(), rewards.end(), [&](float reward) {
    return reward >= first_reward && reward < first_reward + kNumRows;
  });
  if (rewards.size() != kBatchRows || !ours) {
    return absl::DataLossError(absl::StrCat("drew ", rewards.size(), " rows",
                                            ours ? "" : ", not those written", "; want ", kBatchRows,
                                            " of the ", kNumRows, " written"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckReplay(ReplayClient& replay, absl::Time deadline,
                         const std::function<void(const std::string&)>& note) {
  const auto table = AskUntil<demorl::replay::v1::TableInfo>(deadline, /*may_come_later=*/false,
                                                             [&] { return replay.GetTable(kTable); });
  if (absl::IsNotFound(table.status())) {
    return absl::NotFoundError(absl::StrCat(
        "replay has no table '", kTable,
        "' to try on; want a run whose services read a folder of layers, or tables { name: \"", kTable,
        "\" max_rows: ", kNumRows, " durability: DURABILITY_NONE } in its replay section"));
  }
  RETURN_IF_ERROR(Prefixed("ask replay", table.status()));
  const auto first_reward = static_cast<float>(std::random_device()() % 100'000);
  RETURN_IF_ERROR(Prefixed("write to replay", WriteRows(replay, first_reward, deadline)));
  note(absl::StrCat("replay took ", kNumRows, " rows"));
  RETURN_IF_ERROR(Prefixed("draw from replay", DrawRows(replay, first_reward, deadline)));
  note(absl::StrCat("replay gave a batch of ", kBatchRows, " of them"));
  return absl::OkStatus();
}

absl::Status CheckPolicy(SnapshotClient& snapshots, absl::Time deadline,
                         const std::function<void(const std::string&)>& note) {
  const auto policy = AskUntil<std::shared_ptr<const Snapshot>>(
      deadline, /*may_come_later=*/true, [&] { return snapshots.Get(SNAPSHOT_KIND_POLICY, 0); });
  RETURN_IF_ERROR(Prefixed("fetch a policy", policy.status()));
  const auto& metadata = (*policy)->metadata;
  note(absl::StrCat("snapshot gave policy ", metadata.version(), " of ", (*policy)->payload.size(),
                    " bytes, after ", metadata.lineage().learner_step(), " updates"));
  return absl::OkStatus();
}

}  // namespace demorl
