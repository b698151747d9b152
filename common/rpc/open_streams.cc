#include "common/rpc/open_streams.h"

#include <vector>

#include "common/base/clock.h"
#include "grpc/grpc.h"
#include "spdlog/spdlog.h"

namespace demorl {

using ::grpc::experimental::InterceptionHookPoints;
using ::grpc::experimental::InterceptorBatchMethods;
using ::grpc::experimental::ServerRpcInfo;

// Of one stream; forgets it before its context goes.
class OpenStreams::Interceptor final : public grpc::experimental::Interceptor {
 public:
  Interceptor(OpenStreams& streams, grpc::ServerContextBase* context)
      : streams_(streams), context_(context) {}
  ~Interceptor() override { streams_.Remove(this); }

  void Intercept(InterceptorBatchMethods* methods) override {
    if (methods->QueryInterceptionHookPoint(InterceptionHookPoints::POST_RECV_INITIAL_METADATA)) {
      // Its first answer is kept, and must come before another thread can ask.
      context_->auth_context();
      Stream stream = {.context = context_, .end = RealClock::Get().Now() + streams_.age_limit_};
      const auto& metadata = *methods->GetRecvInitialMetadata();
      if (const auto found = metadata.find("authorization"); found != metadata.end()) {
        stream.authorization.emplace(found->second.data(), found->second.size());
      }
      streams_.Add(this, std::move(stream));
    }
    if (methods->QueryInterceptionHookPoint(InterceptionHookPoints::POST_RECV_CLOSE)) {
      streams_.Remove(this);
    }
    methods->Proceed();
  }

 private:
  OpenStreams& streams_;
  grpc::ServerContextBase* const context_;
};

class OpenStreams::Factory final : public grpc::experimental::ServerInterceptorFactoryInterface {
 public:
  explicit Factory(OpenStreams& streams) : streams_(streams) {}
  grpc::experimental::Interceptor* CreateServerInterceptor(ServerRpcInfo* info) override {
    const bool is_stream = info->type() == ServerRpcInfo::Type::SERVER_STREAMING ||
                           info->type() == ServerRpcInfo::Type::BIDI_STREAMING;
    return is_stream ? new Interceptor(streams_, info->server_context()) : nullptr;
  }

 private:
  OpenStreams& streams_;
};

std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface> OpenStreams::MakeInterceptorFactory() {
  return std::make_unique<Factory>(*this);
}

void OpenStreams::Add(const Interceptor* stream, Stream state) {
  absl::MutexLock lock(&mutex_);
  streams_[stream] = std::move(state);
}

void OpenStreams::Remove(const Interceptor* stream) {
  absl::MutexLock lock(&mutex_);
  streams_.erase(stream);
}

absl::Status OpenStreams::CheckMayGoOn(const Stream& stream, absl::Duration now) const {
  if (now >= stream.end) {
    return absl::UnavailableError("the connection is old; reopen the stream");
  }
  return CheckKnown(access_.get(), *stream.context, stream.authorization);
}

void OpenStreams::EndWhatMust() {
  std::vector<std::pair<grpc_call*, absl::Status>> ended;
  {
    const absl::Duration now = RealClock::Get().Now();
    absl::MutexLock lock(&mutex_);
    for (auto& [interceptor, stream] : streams_) {
      if (stream.is_ended) {
        continue;
      }
      if (absl::Status status = CheckMayGoOn(stream, now); !status.ok()) {
        stream.is_ended = true;
        ended.emplace_back(stream.context->c_call(), std::move(status));
        grpc_call_ref(ended.back().first);
      }
    }
  }
  // The end of a call runs its interceptors, perhaps on this very thread.
  for (const auto& [call, status] : ended) {
    if (absl::IsUnauthenticated(status)) {
      spdlog::warn("a stream was ended: {}", std::string(status.message()));
    }
    grpc_call_cancel_with_status(call, static_cast<grpc_status_code>(status.raw_code()),
                                 std::string(status.message()).c_str(), nullptr);
    grpc_call_unref(call);
  }
}

}  // namespace demorl
