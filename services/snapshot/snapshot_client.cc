#include "services/snapshot/snapshot_client.h"

#include <pthread.h>

#include <algorithm>
#include <thread>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "common/base/crc32c.h"
#include "common/base/random.h"
#include "common/base/status_macros.h"
#include "common/concurrency/stop_token.h"
#include "common/rpc/grpc_status.h"
#include "demorl/snapshot/v1/snapshot_service.grpc.pb.h"

namespace demorl {
namespace {

namespace proto = ::demorl::snapshot::v1;
using Stub = proto::SnapshotService::Stub;

constexpr size_t kPieceBytes = 1 << 20;
// Get, List and pins touch a disk at most.
constexpr absl::Duration kCallTimeout = absl::Seconds(30);

void SetDeadline(grpc::ClientContext& context, absl::Time deadline) {
  context.set_deadline(absl::ToChronoTime(std::min(deadline, absl::Now() + absl::Hours(24))));
}

// Doubles from 50 ms to 1 s; each wait is drawn from its upper half, so that clients do not come back in
// step.
class Backoff {
 public:
  Backoff() : random_(static_cast<uint64_t>(absl::ToUnixNanos(absl::Now()))) {}

  absl::Duration Next() {
    const absl::Duration wait = current_ * random_.Uniform(0.5, 1.0);
    current_ = std::min(current_ * 2, absl::Seconds(1));
    return wait;
  }
  void Reset() { current_ = absl::Milliseconds(50); }

 private:
  Random random_;
  absl::Duration current_ = absl::Milliseconds(50);
};

absl::Status CheckPayload(const proto::SnapshotMetadata& metadata, const std::string& payload) {
  if (payload.size() != metadata.payload_bytes() || Crc32c(payload) != metadata.payload_crc32c()) {
    return absl::DataLossError(
        absl::StrCat("version ", metadata.version(), " arrived damaged: its digest or size differs"));
  }
  return absl::OkStatus();
}

// Errors that a repetition does not cure.
bool IsFinal(const absl::Status& status) {
  return absl::IsFailedPrecondition(status) || absl::IsInvalidArgument(status) ||
         absl::IsUnimplemented(status) || absl::IsPermissionDenied(status) || absl::IsUnauthenticated(status);
}

class SnapshotWatchImpl final : public SnapshotWatch {
 public:
  SnapshotWatchImpl(std::shared_ptr<Stub> stub, std::string run_id, proto::SnapshotKind kind)
      : stub_(std::move(stub)), run_id_(std::move(run_id)), kind_(kind), thread_([this] { Follow(); }) {}

  ~SnapshotWatchImpl() override {
    SnapshotWatchImpl::Close();
    thread_.join();
  }

  std::shared_ptr<const Snapshot> Latest() const override {
    absl::MutexLock lock(&mutex_);
    return latest_;
  }

  absl::StatusOr<std::shared_ptr<const Snapshot>> WaitForNewer(uint64_t known_version,
                                                               absl::Time deadline) override {
    const auto ready = [this, known_version]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
      return HasNewer(known_version) || !final_status_.ok();
    };
    absl::MutexLock lock(&mutex_);
    if (!mutex_.AwaitWithDeadline(absl::Condition(&ready), deadline)) {
      return absl::DeadlineExceededError(absl::StrCat("no ", proto::SnapshotKind_Name(kind_),
                                                      " version other than ", known_version, " in time"));
    }
    if (HasNewer(known_version)) {
      return latest_;
    }
    return final_status_;
  }

  void Close() override {
    stop_.RequestStop();
    absl::MutexLock lock(&mutex_);
    if (final_status_.ok()) {
      final_status_ = absl::CancelledError("the watch is closed");
    }
    if (context_ != nullptr) {
      context_->TryCancel();
    }
  }

 private:
  bool HasNewer(uint64_t known_version) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return latest_ != nullptr && latest_->metadata.version() != known_version;
  }

  void Follow() {
    pthread_setname_np(pthread_self(), "snapshot-watch");
    Backoff backoff;
    const StopToken stop = stop_.token();
    while (!stop.stop_requested()) {
      const absl::Status status = FollowOneStream(backoff);
      if (IsFinal(status)) {
        absl::MutexLock lock(&mutex_);
        if (final_status_.ok()) {
          final_status_ = status;
        }
        return;
      }
      stop.WaitFor(backoff.Next());
    }
  }

  // Reads until the stream breaks.
  absl::Status FollowOneStream(Backoff& backoff) {
    grpc::ClientContext context;
    proto::WatchRequest request;
    request.set_run_id(run_id_);
    request.set_kind(kind_);
    {
      absl::MutexLock lock(&mutex_);
      if (!final_status_.ok()) {
        return final_status_;
      }
      context_ = &context;
      request.set_known_version(latest_ == nullptr ? 0 : latest_->metadata.version());
    }
    const auto reader = stub_->Watch(&context, request);
    absl::Status damage;
    for (proto::WatchResponse response; damage.ok() && reader->Read(&response);) {
      damage = Take(response);
      backoff.Reset();
    }
    if (!damage.ok()) {
      context.TryCancel();
    }
    const absl::Status status = FromGrpcStatus(reader->Finish());
    absl::MutexLock lock(&mutex_);
    context_ = nullptr;
    return damage.ok() ? status : damage;
  }

  absl::Status Take(proto::WatchResponse& response) {
    auto snapshot = std::make_shared<Snapshot>();
    snapshot->metadata = std::move(*response.mutable_metadata());
    snapshot->payload = std::move(*response.mutable_payload());
    RETURN_IF_ERROR(CheckPayload(snapshot->metadata, snapshot->payload));
    absl::MutexLock lock(&mutex_);
    latest_ = std::move(snapshot);
    return absl::OkStatus();
  }

  const std::shared_ptr<Stub> stub_;
  const std::string run_id_;
  const proto::SnapshotKind kind_;
  StopSource stop_;
  mutable absl::Mutex mutex_;
  std::shared_ptr<const Snapshot> latest_ ABSL_GUARDED_BY(mutex_);
  // Why nothing newer will come; OK while the watch goes on.
  absl::Status final_status_ ABSL_GUARDED_BY(mutex_);
  // Of the open stream, for Close.
  grpc::ClientContext* context_ ABSL_GUARDED_BY(mutex_) = nullptr;
  std::thread thread_;
};

}  // namespace

proto::SnapshotMetadata MakeSnapshotMetadata(const EnvironmentSpec& environment,
                                             const std::string& config_hash) {
  proto::SnapshotMetadata metadata;
  metadata.set_observation_size(static_cast<uint32_t>(environment.observation_size));
  metadata.set_action_size(static_cast<uint32_t>(environment.action_size));
  metadata.set_schema_hash(environment.SchemaHash());
  metadata.mutable_lineage()->set_config_hash(config_hash);
  return metadata;
}

struct SnapshotClient::Impl {
  std::shared_ptr<Stub> stub;
  std::string run_id;

  absl::StatusOr<uint64_t> PublishOnce(const proto::SnapshotMetadata& metadata, const std::string& payload,
                                       absl::Time deadline) {
    grpc::ClientContext context;
    SetDeadline(context, deadline);
    proto::PublishResponse response;
    const auto writer = stub->Publish(&context, &response);
    proto::PublishRequest request;
    *request.mutable_metadata() = metadata;
    bool open = writer->Write(request);
    for (size_t sent = 0; open && sent < payload.size(); sent += kPieceBytes) {
      request.set_payload_piece(payload.data() + sent, std::min(kPieceBytes, payload.size() - sent));
      open = writer->Write(request);
    }
    writer->WritesDone();
    RETURN_IF_ERROR(FromGrpcStatus(writer->Finish()));
    return response.version();
  }

  // The newest version if it is this very publication, whose answer was lost; 0 otherwise.
  uint64_t FindPublished(const proto::SnapshotMetadata& metadata) {
    grpc::ClientContext context;
    SetDeadline(context, absl::Now() + absl::Seconds(5));
    proto::ListRequest request;
    request.set_kind(metadata.kind());
    request.set_max_results(1);
    proto::ListResponse response;
    if (!stub->List(&context, request, &response).ok() || response.snapshots().empty()) {
      return 0;
    }
    const proto::SnapshotMetadata& newest = response.snapshots(0);
    const bool same = newest.payload_crc32c() == metadata.payload_crc32c() &&
                      newest.payload_bytes() == metadata.payload_bytes() &&
                      newest.lineage().SerializeAsString() == metadata.lineage().SerializeAsString();
    return same ? newest.version() : 0;
  }
};

SnapshotClient::SnapshotClient(std::shared_ptr<grpc::Channel> channel, std::string run_id)
    : impl_(new Impl{.stub = proto::SnapshotService::NewStub(channel), .run_id = std::move(run_id)}) {}

SnapshotClient::~SnapshotClient() = default;

absl::StatusOr<uint64_t> SnapshotClient::Publish(proto::SnapshotMetadata metadata, const std::string& payload,
                                                 absl::Time deadline) {
  metadata.set_run_id(impl_->run_id);
  metadata.set_payload_crc32c(Crc32c(payload));
  metadata.set_payload_bytes(payload.size());
  Backoff backoff;
  const StopToken never;
  while (true) {
    const absl::StatusOr<uint64_t> version = impl_->PublishOnce(metadata, payload, deadline);
    if (!absl::IsUnavailable(version.status()) || absl::Now() >= deadline) {
      return version;
    }
    never.WaitUntil(std::min(deadline, absl::Now() + backoff.Next()));
    if (const uint64_t published = impl_->FindPublished(metadata); published != 0) {
      return published;
    }
  }
}

std::unique_ptr<SnapshotWatch> SnapshotClient::Watch(proto::SnapshotKind kind) {
  return std::make_unique<SnapshotWatchImpl>(impl_->stub, impl_->run_id, kind);
}

absl::StatusOr<std::shared_ptr<const Snapshot>> SnapshotClient::Get(proto::SnapshotKind kind,
                                                                    uint64_t version) {
  grpc::ClientContext context;
  SetDeadline(context, absl::Now() + kCallTimeout);
  proto::GetRequest request;
  request.set_kind(kind);
  request.set_version(version);
  auto snapshot = std::make_shared<Snapshot>();
  const auto reader = impl_->stub->Get(&context, request);
  for (proto::GetResponse response; reader->Read(&response);) {
    if (response.has_metadata()) {
      snapshot->metadata = response.metadata();
    } else {
      snapshot->payload.append(response.payload_piece());
    }
  }
  RETURN_IF_ERROR(FromGrpcStatus(reader->Finish()));
  RETURN_IF_ERROR(CheckPayload(snapshot->metadata, snapshot->payload));
  return snapshot;
}

absl::StatusOr<proto::ListResponse> SnapshotClient::List(proto::SnapshotKind kind, int max_results) {
  grpc::ClientContext context;
  SetDeadline(context, absl::Now() + kCallTimeout);
  proto::ListRequest request;
  request.set_kind(kind);
  request.set_max_results(static_cast<uint32_t>(std::max(0, max_results)));
  proto::ListResponse response;
  RETURN_IF_ERROR(FromGrpcStatus(impl_->stub->List(&context, request, &response)));
  return response;
}

absl::Status SnapshotClient::Pin(proto::SnapshotKind kind, uint64_t version) {
  grpc::ClientContext context;
  SetDeadline(context, absl::Now() + kCallTimeout);
  proto::PinRequest request;
  request.set_run_id(impl_->run_id);
  request.set_kind(kind);
  request.set_version(version);
  proto::PinResponse response;
  return FromGrpcStatus(impl_->stub->Pin(&context, request, &response));
}

absl::Status SnapshotClient::Unpin(proto::SnapshotKind kind) {
  grpc::ClientContext context;
  SetDeadline(context, absl::Now() + kCallTimeout);
  proto::UnpinRequest request;
  request.set_run_id(impl_->run_id);
  request.set_kind(kind);
  proto::UnpinResponse response;
  return FromGrpcStatus(impl_->stub->Unpin(&context, request, &response));
}

}  // namespace demorl
