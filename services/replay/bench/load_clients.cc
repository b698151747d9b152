#include "services/replay/bench/load_clients.h"

#include <time.h>

#include <cmath>
#include <cstdio>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/rpc/channel_factory.h"
#include "common/rpc/grpc_settings.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/security/credentials.h"
#include "services/replay/replay_client.h"
#include "services/snapshot/snapshot_client.h"

namespace demorl {
namespace {

// HalfCheetah: 168 bytes a row.
constexpr int kObservations = 17;
constexpr int kActions = 6;
// How often acknowledgements are looked for: the resolution of what is measured.
constexpr absl::Duration kPoll = absl::Microseconds(500);
constexpr absl::Duration kPatience = absl::Seconds(60);

// A connection that no other channel of the process shares.
std::shared_ptr<grpc::Channel> OwnConnection(int port, int number) {
  grpc::ChannelArguments arguments = CommonChannelArguments();
  arguments.SetInt("demorl.bench.connection", number);
  return grpc::CreateCustomChannel(absl::StrCat("127.0.0.1:", port), grpc::InsecureChannelCredentials(),
                                   arguments);
}

TransitionChunk MakeChunk(uint64_t episode, int first_step, int steps) {
  Segment segment{.episode_id = episode, .first_step = first_step, .num_steps = steps};
  segment.observations.assign((steps + 1) * kObservations, 0.25F);
  segment.actions.assign(steps * kActions, 0.5F);
  segment.rewards.assign(steps, 1.0F);
  segment.policy_versions.assign(steps, 1);
  TransitionChunk chunk{.observation_size = kObservations, .action_size = kActions};
  chunk.segments.push_back(std::move(segment));
  return chunk;
}

EnvironmentSpec Environment() {
  return {.environment_id = "Bench-v0",
          .observation_size = kObservations,
          .action_size = kActions,
          .command_minimum = std::vector<double>(kActions, -1),
          .command_maximum = std::vector<double>(kActions, 1),
          .control_period = absl::Milliseconds(50),
          .max_episode_steps = 1000};
}

// One light actor.
class Client {
 public:
  Client(const ClientLoad& load, int number, absl::Duration first_due)
      : replay_(OwnConnection(load.port, number), "bench"), number_(number), due_(first_due) {
    writer_ = replay_.OpenWriter({.table = "env",
                                  .writer_id = absl::StrCat("actor-", number),
                                  .writer_epoch = 1,
                                  .environment = Environment(),
                                  .simulated = load.simulated});
  }

  // Appends what is due; false if that failed.
  bool Step(absl::Duration now, absl::Duration period, int rows) {
    if (now < due_) {
      return true;
    }
    latest_ = std::max(latest_, now - due_);
    due_ += period;
    const absl::Status status =
        writer_->Append(MakeChunk(static_cast<uint64_t>(number_), steps_, rows), absl::Now() + kPatience);
    if (!status.ok()) {
      std::fprintf(stderr, "client %d: %s\n", number_, status.ToString().c_str());
      return false;
    }
    steps_ += rows;
    sent_.emplace_back(writer_->LastSequence(), MonotonicNow());
    return true;
  }

  // Milliseconds, rounded to the bucket of a histogram: chunks that have become durable since.
  void CollectAcks(absl::Duration now, std::map<int, int64_t>* acks) {
    if (sent_.empty()) {
      return;
    }
    for (const uint64_t durable = writer_->DurableSequence();
         !sent_.empty() && sent_.front().first <= durable; sent_.pop_front()) {
      ++(*acks)[static_cast<int>((now - sent_.front().second) / absl::Microseconds(100))];
    }
  }

  bool Flush() { return writer_->Flush(absl::Now() + kPatience).ok(); }
  int steps() const { return steps_; }
  absl::Duration latest() const { return latest_; }

 private:
  ReplayClient replay_;
  const int number_;
  std::unique_ptr<ReplayWriter> writer_;
  absl::Duration due_;
  absl::Duration latest_;
  int steps_ = 0;
  std::deque<std::pair<uint64_t, absl::Duration>> sent_;
};

void PrintReport(const std::vector<std::unique_ptr<Client>>& clients, const std::map<int, int64_t>& acks) {
  int64_t rows = 0;
  absl::Duration latest;
  for (const auto& client : clients) {
    rows += client->steps();
    latest = std::max(latest, client->latest());
  }
  std::printf("rows %lld\nlatest_ms %.3f\n", static_cast<long long>(rows),
              absl::ToDoubleMilliseconds(latest));
  for (const auto& [bucket, count] : acks) {
    std::printf("ack %.1f %lld\n", bucket / 10.0, static_cast<long long>(count));
  }
}

}  // namespace

absl::Duration MonotonicNow() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return absl::DurationFromTimespec(now);
}

int RunClients(const ClientLoad& load) {
  const absl::Duration period = absl::Seconds(1 / load.rate_hz);
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < load.num_clients; ++i) {  // spread over a period, as actors are
    clients.push_back(
        std::make_unique<Client>(load, load.first_client + i, load.begin + period * i / load.num_clients));
  }
  std::map<int, int64_t> acks;
  while (MonotonicNow() < load.end) {
    for (const auto& client : clients) {
      if (!client->Step(MonotonicNow(), period, load.rows_per_chunk)) {
        return 1;
      }
    }
    const absl::Duration now = MonotonicNow();
    for (const auto& client : clients) {
      client->CollectAcks(now, &acks);
    }
    absl::SleepFor(kPoll);
  }
  for (const auto& client : clients) {
    if (!client->Flush()) {
      return 1;
    }
  }
  PrintReport(clients, acks);
  return 0;
}

int RunWatchers(const WatcherLoad& load) {
  struct Watcher {
    std::unique_ptr<SnapshotClient> client;
    std::unique_ptr<SnapshotWatch> watch;
    uint64_t version = 0;
  };
  std::vector<Watcher> watchers(load.num_watchers);
  for (int i = 0; i < load.num_watchers; ++i) {
    watchers[i].client = std::make_unique<SnapshotClient>(OwnConnection(load.port, i), "bench");
    watchers[i].watch = watchers[i].client->Watch(snapshot::v1::SNAPSHOT_KIND_POLICY);
  }
  while (MonotonicNow() < load.end) {
    const absl::Duration now = MonotonicNow();
    std::map<uint64_t, int> came;
    for (Watcher& watcher : watchers) {
      const auto latest = watcher.watch->Latest();
      if (latest != nullptr && latest->metadata.version() != watcher.version) {
        watcher.version = latest->metadata.version();
        ++came[watcher.version];
      }
    }
    for (const auto& [version, count] : came) {
      std::printf("came %llu %.6f %d\n", static_cast<unsigned long long>(version), absl::ToDoubleSeconds(now),
                  count);
    }
    absl::SleepFor(kPoll);
  }
  return 0;
}

}  // namespace demorl
