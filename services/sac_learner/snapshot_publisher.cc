#include "services/sac_learner/snapshot_publisher.h"

#include <pthread.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/base/status_macros.h"
#include "common/tensor/trace_codec.h"
#include "spdlog/spdlog.h"

namespace demorl {
namespace {

using demorl::snapshot::v1::SnapshotMetadata;

// Of one attempt.
constexpr absl::Duration kPublishTimeout = absl::Seconds(5);
constexpr absl::Duration kRetryDelay = absl::Seconds(1);

// Failures that pass by themselves.
bool IsRetryable(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status) || absl::IsResourceExhausted(status);
}

SnapshotMetadata MakeMetadata(const SnapshotMetadata& base, snapshot::v1::SnapshotKind kind, const char* type,
                              uint64_t parent) {
  SnapshotMetadata metadata = base;
  metadata.set_kind(kind);
  (*metadata.mutable_architecture())["type"] = type;
  metadata.mutable_lineage()->set_parent_version(parent);
  return metadata;
}

}  // namespace

SnapshotPublisher::SnapshotPublisher(PublishFunction publish, SnapshotMetadata base,
                                     SacLearnerMetrics* metrics, TraceLog* trace_log)
    : publish_(std::move(publish)),
      base_(std::move(base)),
      metrics_(metrics),
      trace_log_(trace_log),
      thread_([this] { Run(); }) {}

SnapshotPublisher::~SnapshotPublisher() {
  Drain(absl::Now()).IgnoreError();
  thread_.join();
}

void SnapshotPublisher::Offer(SnapshotPair pair) {
  absl::MutexLock lock(&mutex_);
  if (slot_.has_value()) {
    metrics_->publish_superseded.Increment();
    KeepTraces(slot_->traces, &pair.traces);
  }
  slot_ = std::move(pair);
}

absl::Status SnapshotPublisher::Drain(absl::Time deadline) {
  absl::MutexLock lock(&mutex_);
  stop_ = true;
  give_up_ = std::min(give_up_, deadline);
  if (!mutex_.AwaitWithDeadline(absl::Condition(&ended_), deadline) || slot_.has_value()) {
    return absl::DeadlineExceededError(
        absl::StrCat("the last policy was not published: ", std::string(last_status_.message())));
  }
  return absl::OkStatus();
}

uint64_t SnapshotPublisher::policy_version() const {
  absl::MutexLock lock(&mutex_);
  return policy_version_;
}

absl::Status SnapshotPublisher::last_status() const {
  absl::MutexLock lock(&mutex_);
  return last_status_;
}

void SnapshotPublisher::Run() {
  pthread_setname_np(pthread_self(), "sac-publish");
  const auto has_work = [this]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return slot_.has_value() || stop_; };
  mutex_.Lock();
  while (true) {
    mutex_.Await(absl::Condition(&has_work));
    if (!slot_.has_value() || (stop_ && absl::Now() >= give_up_)) {
      break;
    }
    SnapshotPair pair = *std::exchange(slot_, std::nullopt);
    const absl::Time deadline = std::min(absl::Now() + kPublishTimeout, give_up_);
    mutex_.Unlock();
    const absl::Status status = PublishPair(pair, deadline);
    mutex_.Lock();
    last_status_ = status;
    if (status.ok()) {
      continue;
    }
    metrics_->publish_failures.Increment();
    spdlog::warn("publishing update {} failed: {}", pair.learner_step, status.ToString());
    if (IsRetryable(status)) {
      if (!slot_.has_value()) {
        slot_ = std::move(pair);
      } else {
        KeepTraces(pair.traces, &slot_->traces);
      }
      // A stop that arrives meanwhile is answered at once, with one more attempt.
      const auto stop_arrived = [this, stopping = stop_]()
                                    ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return stop_ != stopping; };
      mutex_.AwaitWithDeadline(absl::Condition(&stop_arrived), std::min(absl::Now() + kRetryDelay, give_up_));
    }
  }
  ended_ = true;
  mutex_.Unlock();
}

absl::StatusOr<uint64_t> SnapshotPublisher::PublishOne(SnapshotMetadata metadata, const SnapshotPair& pair,
                                                       const TensorFile& file, absl::Time deadline) {
  RETURN_IF_ERROR(CheckFinite(file));
  metadata.mutable_lineage()->set_learner_step(static_cast<uint64_t>(pair.learner_step));
  metadata.mutable_lineage()->set_environment_rows(static_cast<uint64_t>(pair.environment_rows));
  metadata.mutable_lineage()->set_dynamics_version(pair.dynamics_version);
  absl::StatusOr<uint64_t> version = publish_(std::move(metadata), EncodeSafetensors(file), deadline);
  if (version.ok()) {
    metrics_->publishes.Increment();
  }
  return version;
}

absl::StatusOr<uint64_t> SnapshotPublisher::PublishPolicy(const SnapshotPair& pair, uint64_t parent,
                                                          absl::Time deadline) {
  const absl::Time start = absl::Now();
  const std::vector<TraceContext> spans = NewChildren(trace_log_, pair.traces);
  SnapshotMetadata metadata =
      MakeMetadata(base_, snapshot::v1::SNAPSHOT_KIND_POLICY, "tanh_gaussian_mlp", parent);
  EncodeTraceContexts(spans, metadata.mutable_traces());
  ASSIGN_OR_RETURN(const uint64_t version, PublishOne(std::move(metadata), pair, pair.policy, deadline));
  AddSpans(trace_log_, spans, pair.traces,
           {.name = "publish",
            .start = start,
            .end = absl::Now(),
            .attributes = {{"kind", std::string("policy")}, {"version", static_cast<int64_t>(version)}}});
  return version;
}

absl::Status SnapshotPublisher::PublishPair(const SnapshotPair& pair, absl::Time deadline) {
  uint64_t policy_parent, value_parent;
  {
    absl::MutexLock lock(&mutex_);
    policy_parent = policy_version_;
    value_parent = value_version_;
  }
  ASSIGN_OR_RETURN(const uint64_t policy_version, PublishPolicy(pair, policy_parent, deadline));
  metrics_->policy_version.Set(static_cast<double>(policy_version));
  {
    absl::MutexLock lock(&mutex_);
    policy_version_ = policy_version;
  }
  ASSIGN_OR_RETURN(
      const uint64_t value_version,
      PublishOne(MakeMetadata(base_, snapshot::v1::SNAPSHOT_KIND_VALUE, "twin_q_mlp", value_parent), pair,
                 pair.value, deadline));
  absl::MutexLock lock(&mutex_);
  value_version_ = value_version;
  return absl::OkStatus();
}

}  // namespace demorl
