#include "services/snapshot/snapshot_service.h"

#include <algorithm>
#include <atomic>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "common/base/status_macros.h"
#include "common/concurrency/serial_worker.h"
#include "common/rpc/grpc_status.h"
#include "demorl/snapshot/v1/snapshot_service.grpc.pb.h"
#include "services/snapshot/snapshot_conversion.h"
#include "services/snapshot/watch_response.h"

namespace demorl {
namespace {

namespace proto = ::demorl::snapshot::v1;
using ::grpc::CallbackServerContext;
using ::grpc::ServerUnaryReactor;

constexpr size_t kPieceBytes = 1 << 20;

grpc::Status Draining() {
  return grpc::Status(grpc::StatusCode::UNAVAILABLE, "the snapshot service is draining");
}

absl::StatusOr<SnapshotKind> AllowedKind(const ObjectAccess& access, proto::SnapshotKind asked) {
  ASSIGN_OR_RETURN(const SnapshotKind kind, KindFromProto(asked));
  RETURN_IF_ERROR(access.Check(SnapshotKindName(kind)));
  return kind;
}

// Answers one call at once with an error.
template <typename Base, typename Message>
class RefusingReactor final : public Base {
 public:
  explicit RefusingReactor(const grpc::Status& status) { this->Finish(status); }
  void OnDone() override { delete this; }
};

// Collects metadata and payload, then publishes on the disk thread.
class PublishReactor final : public grpc::ServerReadReactor<proto::PublishRequest> {
 public:
  PublishReactor(SnapshotStore& store, SerialWorker& worker, ObjectAccess access, TraceLog* trace_log,
                 proto::PublishResponse* response)
      : store_(store),
        worker_(worker),
        access_(std::move(access)),
        trace_log_(trace_log),
        response_(*response) {
    StartRead(&request_);
  }

  void OnReadDone(bool ok) override {
    if (!ok) {
      Enqueue();
      return;
    }
    if (absl::Status status = Take(); !status.ok()) {
      Finish(ToGrpcStatus(status));
      return;
    }
    StartRead(&request_);
  }

  void OnDone() override { delete this; }

 private:
  absl::Status Take() {
    if (request_.has_metadata()) {
      if (has_metadata_ || !payload_.empty()) {
        return absl::InvalidArgumentError("metadata must come once, before the payload");
      }
      has_metadata_ = true;
      ASSIGN_OR_RETURN(info_, InfoFromProto(request_.metadata()));
      RETURN_IF_ERROR(access_.Check(SnapshotKindName(info_.kind)));
      if (info_.payload_bytes > SnapshotService::kMaxPayloadBytes) {
        return absl::InvalidArgumentError(absl::StrCat("the payload has ", info_.payload_bytes,
                                                       " bytes, allowed are ",
                                                       SnapshotService::kMaxPayloadBytes));
      }
      payload_.reserve(info_.payload_bytes);
      return absl::OkStatus();
    }
    if (!has_metadata_) {
      return absl::InvalidArgumentError("the payload came before its metadata");
    }
    if (payload_.size() + request_.payload_piece().size() > info_.payload_bytes) {
      return absl::DataLossError(
          absl::StrCat("the payload has more bytes than its metadata says (", info_.payload_bytes, ")"));
    }
    payload_.append(request_.payload_piece());
    return absl::OkStatus();
  }

  void Enqueue() {
    if (!has_metadata_) {
      Finish(grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, "the stream ended before its metadata"));
      return;
    }
    if (!worker_.TryRun([this] { Publish(); })) {
      Finish(grpc::Status(grpc::StatusCode::UNAVAILABLE, "too many publications are queued, or draining"));
    }
  }

  void Publish() {
    const std::vector<TraceContext> parents = info_.traces;
    const std::vector<TraceContext> spans = NewChildren(trace_log_, parents);
    const absl::string_view kind = SnapshotKindName(info_.kind);
    info_.traces = spans;
    const absl::StatusOr<uint64_t> version = store_.Publish(std::move(info_), std::move(payload_));
    if (version.ok()) {
      response_.set_version(*version);
      AddSpans(trace_log_, spans, parents,
               {.name = "store",
                .start = start_,
                .end = absl::Now(),
                .attributes = {{"kind", std::string(kind)}, {"version", static_cast<int64_t>(*version)}}});
    }
    Finish(ToGrpcStatus(version.status()));
  }

  SnapshotStore& store_;
  SerialWorker& worker_;
  const ObjectAccess access_;
  TraceLog* const trace_log_;
  const absl::Time start_ = absl::Now();
  proto::PublishResponse& response_;
  proto::PublishRequest request_;
  bool has_metadata_ = false;
  SnapshotInfo info_;
  std::string payload_;
};

// One watcher. Kept alive by gRPC until OnDone, and meanwhile by whoever calls into it.
class WatchReactor final : public grpc::ServerWriteReactor<grpc::ByteBuffer>,
                           public std::enable_shared_from_this<WatchReactor> {
 public:
  // `on_done` is called when gRPC has let go of the stream.
  void Begin(SnapshotStore& store, SnapshotKind kind, uint64_t known_version, std::function<void()> on_done) {
    self_ = shared_from_this();
    on_done_ = std::move(on_done);
    auto subscription = store.Subscribe(kind, known_version, [weak = weak_from_this()] {
      if (const std::shared_ptr<WatchReactor> reactor = weak.lock()) {
        reactor->Pump();
      }
    });
    {
      absl::MutexLock lock(&mutex_);
      subscription_ = std::move(subscription);
    }
    Pump();
  }

  void End(const grpc::Status& status) {
    const std::shared_ptr<WatchReactor> keep_alive = shared_from_this();
    absl::MutexLock lock(&mutex_);
    if (!std::exchange(finished_, true)) {
      Finish(status);
    }
  }

  void OnWriteDone(bool ok) override {
    {
      absl::MutexLock lock(&mutex_);
      writing_ = false;
    }
    ok ? Pump() : End(grpc::Status::CANCELLED);
  }

  void OnCancel() override { End(grpc::Status::CANCELLED); }

  void OnDone() override {
    on_done_();
    const std::shared_ptr<WatchReactor> last = std::move(self_);
  }

 private:
  // Starts the next write if there is something to send and nothing on its way.
  void Pump() {
    const std::shared_ptr<WatchReactor> keep_alive = shared_from_this();
    absl::MutexLock lock(&mutex_);
    if (writing_ || finished_ || subscription_ == nullptr) {
      return;
    }
    const std::shared_ptr<const StoredSnapshot> snapshot = subscription_->Take();
    if (snapshot == nullptr) {
      return;
    }
    writing_ = true;
    buffer_ = MakeWatchResponse(snapshot);
    StartWrite(&buffer_);
  }

  std::shared_ptr<WatchReactor> self_;
  std::function<void()> on_done_;
  absl::Mutex mutex_;
  std::shared_ptr<SnapshotSubscription> subscription_ ABSL_GUARDED_BY(mutex_);
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;
  grpc::ByteBuffer buffer_;
};

// Reads one version on the disk thread, then sends it in pieces.
class GetReactor final : public grpc::ServerWriteReactor<proto::GetResponse> {
 public:
  GetReactor(SnapshotStore& store, SerialWorker& worker, const ObjectAccess& access,
             const proto::GetRequest& request) {
    const absl::StatusOr<SnapshotKind> kind = AllowedKind(access, request.kind());
    if (!kind.ok()) {
      Finish(ToGrpcStatus(kind.status()));
      return;
    }
    if (!worker.TryRun(
            [this, &store, kind = *kind, version = request.version()] { Load(store, kind, version); })) {
      Finish(grpc::Status(grpc::StatusCode::UNAVAILABLE, "too many calls are queued, or draining"));
    }
  }

  void OnWriteDone(bool ok) override {
    if (!ok) {
      Finish(grpc::Status::CANCELLED);
    } else if (sent_bytes_ == snapshot_->payload.size()) {
      Finish(grpc::Status::OK);
    } else {
      SendPiece();
    }
  }

  void OnDone() override { delete this; }

 private:
  void Load(SnapshotStore& store, SnapshotKind kind, uint64_t version) {
    auto snapshot = store.Get(kind, version);
    if (!snapshot.ok()) {
      Finish(ToGrpcStatus(snapshot.status()));
      return;
    }
    snapshot_ = *std::move(snapshot);
    *response_.mutable_metadata() = InfoToProto(snapshot_->info);
    StartWrite(&response_);
  }

  void SendPiece() {
    const size_t size = std::min(kPieceBytes, snapshot_->payload.size() - sent_bytes_);
    response_.set_payload_piece(snapshot_->payload.data() + sent_bytes_, size);
    sent_bytes_ += size;
    StartWrite(&response_);
  }

  std::shared_ptr<const StoredSnapshot> snapshot_;
  proto::GetResponse response_;
  size_t sent_bytes_ = 0;
};

template <typename Service>
using Methods = proto::SnapshotService::WithCallbackMethod_Publish<
    proto::SnapshotService::WithRawCallbackMethod_Watch<proto::SnapshotService::WithCallbackMethod_Get<
        proto::SnapshotService::WithCallbackMethod_List<proto::SnapshotService::WithCallbackMethod_Pin<
            proto::SnapshotService::WithCallbackMethod_Unpin<Service>>>>>>;

class SnapshotServiceImpl final : public SnapshotService, public Methods<proto::SnapshotService::Service> {
 public:
  SnapshotServiceImpl(SnapshotStore* store, SnapshotMetrics metrics, std::shared_ptr<AccessControl> access,
                      TraceLog* trace_log)
      : store_(*store), metrics_(metrics), access_(std::move(access)), trace_log_(trace_log) {}
  ~SnapshotServiceImpl() override { SnapshotServiceImpl::Close(); }

  grpc::Service* rpc_service() override { return this; }
  void SetAccepting(bool accepting) override { accepting_.store(accepting); }
  int num_watchers() const override {
    absl::MutexLock lock(&mutex_);
    return static_cast<int>(watchers_.size());
  }

  void Close() override {
    std::set<std::shared_ptr<WatchReactor>> watchers;
    {
      absl::MutexLock lock(&mutex_);
      closed_ = true;
      watchers = watchers_;
    }
    worker_.Close();
    for (const auto& watcher : watchers) {
      watcher->End(Draining());
    }
  }

  grpc::ServerReadReactor<proto::PublishRequest>* Publish(CallbackServerContext* context,
                                                          proto::PublishResponse* response) override {
    if (!accepting_.load()) {
      return new RefusingReactor<grpc::ServerReadReactor<proto::PublishRequest>, proto::PublishRequest>(
          grpc::Status(grpc::StatusCode::UNAVAILABLE, "the snapshot service is paused or draining"));
    }
    return new PublishReactor(store_, worker_, Access(*context, "Publish"), trace_log_, response);
  }

  grpc::ServerWriteReactor<grpc::ByteBuffer>* Watch(CallbackServerContext* context,
                                                    const grpc::ByteBuffer* bytes) override {
    using Refusing = RefusingReactor<grpc::ServerWriteReactor<grpc::ByteBuffer>, grpc::ByteBuffer>;
    proto::WatchRequest request;
    const absl::StatusOr<SnapshotKind> kind = CheckWatch(*bytes, Access(*context, "Watch"), request);
    if (!kind.ok()) {
      return new Refusing(ToGrpcStatus(kind.status()));
    }
    auto reactor = std::make_shared<WatchReactor>();
    {
      absl::MutexLock lock(&mutex_);
      if (closed_) {
        return new Refusing(Draining());
      }
      watchers_.insert(reactor);
      metrics_.Watchers().Set(static_cast<double>(watchers_.size()));
    }
    reactor->Begin(store_, *kind, request.known_version(),
                   [this, raw = std::weak_ptr<WatchReactor>(reactor)] { Forget(raw.lock()); });
    return reactor.get();
  }

  grpc::ServerWriteReactor<proto::GetResponse>* Get(CallbackServerContext* context,
                                                    const proto::GetRequest* request) override {
    return new GetReactor(store_, worker_, Access(*context, "Get"), *request);
  }

  ServerUnaryReactor* List(CallbackServerContext* context, const proto::ListRequest* request,
                           proto::ListResponse* response) override {
    ServerUnaryReactor* reactor = context->DefaultReactor();
    reactor->Finish(ToGrpcStatus(FillList(*request, *response)));
    return reactor;
  }

  ServerUnaryReactor* Pin(CallbackServerContext* context, const proto::PinRequest* request,
                          proto::PinResponse* response) override {
    return OnDisk(context, [this, request, response]() -> absl::Status {
      ASSIGN_OR_RETURN(const SnapshotKind kind, KindFromProto(request->kind()));
      ASSIGN_OR_RETURN(const SnapshotInfo info, store_.Pin(request->run_id(), kind, request->version()));
      *response->mutable_pinned() = InfoToProto(info);
      return absl::OkStatus();
    });
  }

  ServerUnaryReactor* Unpin(CallbackServerContext* context, const proto::UnpinRequest* request,
                            proto::UnpinResponse* response) override {
    return OnDisk(context, [this, request, response]() -> absl::Status {
      ASSIGN_OR_RETURN(const SnapshotKind kind, KindFromProto(request->kind()));
      ASSIGN_OR_RETURN(const std::optional<SnapshotInfo> info, store_.Unpin(request->run_id(), kind));
      if (info.has_value()) {
        *response->mutable_current() = InfoToProto(*info);
      }
      return absl::OkStatus();
    });
  }

 private:
  absl::StatusOr<SnapshotKind> CheckWatch(const grpc::ByteBuffer& bytes, const ObjectAccess& access,
                                          proto::WatchRequest& request) const {
    grpc::ByteBuffer copy = bytes;
    if (!grpc::SerializationTraits<proto::WatchRequest>::Deserialize(&copy, &request).ok()) {
      return absl::InvalidArgumentError("the watch request cannot be read");
    }
    RETURN_IF_ERROR(store_.CheckRun(request.run_id()));
    return AllowedKind(access, request.kind());
  }

  ObjectAccess Access(const CallbackServerContext& context, absl::string_view method) const {
    return AccessOfCall(access_.get(), context, absl::StrCat("demorl.snapshot.v1.SnapshotService/", method));
  }

  absl::Status FillList(const proto::ListRequest& request, proto::ListResponse& response) const {
    std::optional<SnapshotKind> kind;
    if (request.kind() != proto::SNAPSHOT_KIND_UNSPECIFIED) {
      ASSIGN_OR_RETURN(kind, KindFromProto(request.kind()));
    }
    for (const SnapshotInfo& info : store_.List(kind, request.max_results())) {
      *response.add_snapshots() = InfoToProto(info);
    }
    for (const auto& [pinned_kind, version] : store_.Pinned()) {
      (*response.mutable_pinned())[std::string(SnapshotKindName(pinned_kind))] = version;
    }
    return absl::OkStatus();
  }

  ServerUnaryReactor* OnDisk(CallbackServerContext* context, std::function<absl::Status()> action) {
    ServerUnaryReactor* reactor = context->DefaultReactor();
    if (!worker_.TryRun([reactor, action = std::move(action)] { reactor->Finish(ToGrpcStatus(action())); })) {
      reactor->Finish(grpc::Status(grpc::StatusCode::UNAVAILABLE, "too many calls are queued, or draining"));
    }
    return reactor;
  }

  void Forget(const std::shared_ptr<WatchReactor>& watcher) {
    absl::MutexLock lock(&mutex_);
    watchers_.erase(watcher);
    metrics_.Watchers().Set(static_cast<double>(watchers_.size()));
  }

  SnapshotStore& store_;
  SnapshotMetrics metrics_;
  const std::shared_ptr<AccessControl> access_;
  TraceLog* const trace_log_;
  std::atomic<bool> accepting_{true};
  mutable absl::Mutex mutex_;
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
  std::set<std::shared_ptr<WatchReactor>> watchers_ ABSL_GUARDED_BY(mutex_);
  SerialWorker worker_{"snapshot-disk"};
};

}  // namespace

std::unique_ptr<SnapshotService> SnapshotService::Create(SnapshotStore* store, SnapshotMetrics metrics,
                                                         std::shared_ptr<AccessControl> access,
                                                         TraceLog* trace_log) {
  return std::make_unique<SnapshotServiceImpl>(store, metrics, std::move(access), trace_log);
}

}  // namespace demorl
