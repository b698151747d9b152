#include "services/replay/bench/echo_replay.h"

#include <cstdio>
#include <limits>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "demorl/replay/v1/replay_service.grpc.pb.h"
#include "grpcpp/security/server_credentials.h"
#include "grpcpp/server_builder.h"

namespace demorl {
namespace {

namespace pb = ::demorl::replay::v1;

// Answers each request with a position; chunks that come while an answer is under way share the next one.
class EchoReactor final : public grpc::ServerBidiReactor<pb::AppendRequest, pb::AppendResponse> {
 public:
  EchoReactor() {
    answer_.set_bytes_granted(std::numeric_limits<int64_t>::max());
    answer_.set_rows_allowed(std::numeric_limits<int64_t>::max());
    StartRead(&request_);
  }
  void OnReadDone(bool ok) override {
    absl::MutexLock lock(&mutex_);
    if (!ok) {
      Finish(grpc::Status::OK);
      return;
    }
    sequence_ = request_.chunk().sequence();
    due_ = true;
    Answer();
    StartRead(&request_);
  }
  void OnWriteDone(bool ok) override {
    absl::MutexLock lock(&mutex_);
    writing_ = !ok;
    Answer();
  }
  void OnDone() override { delete this; }

 private:
  void Answer() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (writing_ || !due_) {
      return;
    }
    due_ = false;
    writing_ = true;
    answer_.set_accepted_sequence(sequence_);
    answer_.set_durable_sequence(sequence_);
    StartWrite(&answer_);
  }

  absl::Mutex mutex_;
  pb::AppendRequest request_;
  pb::AppendResponse answer_;
  uint64_t sequence_ ABSL_GUARDED_BY(mutex_) = 0;
  bool due_ ABSL_GUARDED_BY(mutex_) = false;
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
};

class EchoReplay final : public pb::ReplayService::CallbackService {
 public:
  grpc::ServerBidiReactor<pb::AppendRequest, pb::AppendResponse>* Append(
      grpc::CallbackServerContext*) override {
    return new EchoReactor();
  }
};

}  // namespace

int RunEchoReplay() {
  EchoReplay service;
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
  builder.RegisterService(&service);
  const auto server = builder.BuildAndStart();
  std::printf("(port %d)\n", port);
  std::fflush(stdout);
  server->Wait();
  return 0;
}

}  // namespace demorl
