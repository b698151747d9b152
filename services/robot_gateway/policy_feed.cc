#include "services/robot_gateway/policy_feed.h"

#include <pthread.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/base/clock.h"
#include "common/base/status_macros.h"
#include "spdlog/spdlog.h"

namespace demorl {

PolicyFeed::PolicyFeed(Parts parts) : parts_(std::move(parts)), schema_hash_(parts_.spec.SchemaHash()) {}

void PolicyFeed::Start() {
  thread_ = std::thread([this] { Run(); });
}

void PolicyFeed::Close() {
  parts_.policies->Close();
  if (thread_.joinable()) {
    thread_.join();
  }
}

void PolicyFeed::Run() {
  pthread_setname_np(pthread_self(), "policy-feed");
  uint64_t seen = 0;
  for (;;) {
    const auto newest = parts_.policies->WaitForNewer(seen, absl::InfiniteFuture());
    if (absl::IsDeadlineExceeded(newest.status())) {
      continue;
    }
    if (!newest.ok()) {
      if (!absl::IsCancelled(newest.status())) {
        spdlog::error("no more policies: {}", std::string(newest.status().message()));
      }
      return;
    }
    seen = (*newest)->metadata.version();
    if (const absl::Status adopted = Adopt(**newest); !adopted.ok()) {
      num_refused_.fetch_add(1);
      spdlog::warn("policy {} refused: {}", seen, std::string(adopted.message()));
    }
  }
}

absl::Status PolicyFeed::Adopt(const Snapshot& snapshot) {
  if (snapshot.metadata.schema_hash() != schema_hash_) {
    return absl::InvalidArgumentError(absl::StrCat("it is for schema ", snapshot.metadata.schema_hash(),
                                                   ", this robot (", parts_.spec.environment_id, ") has ",
                                                   schema_hash_));
  }
  const absl::Time start = absl::Now();
  auto policy = std::make_unique<LoopPolicy>();
  ASSIGN_OR_RETURN(policy->network, MlpPolicy::Create(snapshot.payload, parts_.spec.observation_size,
                                                      parts_.spec.action_size));
  policy->version = snapshot.metadata.version();
  policy->received = RealClock::Get().Now();
  if (const absl::Status kept = parts_.keep(policy->version, snapshot.payload); !kept.ok()) {
    spdlog::warn("policy {} is not kept beside the tick log: {}", policy->version,
                 std::string(kept.message()));
  }
  version_.store(policy->version);
  parts_.adopted(snapshot.metadata, start);
  parts_.offer(std::move(policy));
  return absl::OkStatus();
}

}  // namespace demorl
