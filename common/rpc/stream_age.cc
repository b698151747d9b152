#include "common/rpc/stream_age.h"

#include <vector>

#include "common/base/clock.h"
#include "grpc/grpc.h"

namespace demorl {

using ::grpc::experimental::InterceptionHookPoints;
using ::grpc::experimental::InterceptorBatchMethods;
using ::grpc::experimental::ServerRpcInfo;

// Of one stream; forgets it before its context goes.
class StreamAge::Interceptor final : public grpc::experimental::Interceptor {
 public:
  Interceptor(StreamAge& age, grpc::ServerContextBase* context) : age_(age) { age_.Add(this, context); }
  ~Interceptor() override { age_.Remove(this); }

  void Intercept(InterceptorBatchMethods* methods) override {
    if (methods->QueryInterceptionHookPoint(InterceptionHookPoints::POST_RECV_CLOSE)) {
      age_.Remove(this);
    }
    methods->Proceed();
  }

 private:
  StreamAge& age_;
};

class StreamAge::Factory final : public grpc::experimental::ServerInterceptorFactoryInterface {
 public:
  explicit Factory(StreamAge& age) : age_(age) {}
  grpc::experimental::Interceptor* CreateServerInterceptor(ServerRpcInfo* info) override {
    const bool streams = info->type() == ServerRpcInfo::Type::SERVER_STREAMING ||
                         info->type() == ServerRpcInfo::Type::BIDI_STREAMING;
    return streams ? new Interceptor(age_, info->server_context()) : nullptr;
  }

 private:
  StreamAge& age_;
};

std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface> StreamAge::MakeInterceptorFactory() {
  return std::make_unique<Factory>(*this);
}

void StreamAge::Add(const Interceptor* stream, grpc::ServerContextBase* context) {
  absl::MutexLock lock(&mutex_);
  streams_[stream] = {.context = context, .end = RealClock::Get().Now() + limit_};
}

void StreamAge::Remove(const Interceptor* stream) {
  absl::MutexLock lock(&mutex_);
  streams_.erase(stream);
}

void StreamAge::EndOldStreams() {
  std::vector<grpc_call*> old;
  {
    const absl::Duration now = RealClock::Get().Now();
    absl::MutexLock lock(&mutex_);
    for (auto& [interceptor, stream] : streams_) {
      if (now >= stream.end) {
        stream.end = absl::InfiniteDuration();  // once
        old.push_back(stream.context->c_call());
        grpc_call_ref(old.back());
      }
    }
  }
  // The end of a call runs its interceptors, perhaps on this very thread.
  for (grpc_call* call : old) {
    grpc_call_cancel_with_status(call, GRPC_STATUS_UNAVAILABLE, "the connection is old; reopen the stream",
                                 nullptr);
    grpc_call_unref(call);
  }
}

}  // namespace demorl
