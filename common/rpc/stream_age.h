#pragma once

#include <map>
#include <memory>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "grpcpp/server_context.h"
#include "grpcpp/support/server_interceptor.h"

namespace demorl {

// Ends the streams of a server that have lasted for long, so that clients reopen them, over a newer
// connection. gRPC 1.51 does not: its connections live on as long as their streams, whatever
// GRPC_ARG_MAX_CONNECTION_AGE_GRACE_MS says. Thread-safe; outlives the server.
class StreamAge {
 public:
  explicit StreamAge(absl::Duration limit) : limit_(limit) {}

  // Watches the calls of one server.
  std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface> MakeInterceptorFactory();

  // Ends with UNAVAILABLE the streams towards clients that are older than the limit. To be called now and
  // then.
  void EndOldStreams();

 private:
  class Interceptor;
  class Factory;

  void Add(const Interceptor* stream, grpc::ServerContextBase* context);
  void Remove(const Interceptor* stream);

  struct Stream {
    grpc::ServerContextBase* context = nullptr;
    absl::Duration end;
  };

  const absl::Duration limit_;
  absl::Mutex mutex_;
  std::map<const Interceptor*, Stream> streams_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace demorl
