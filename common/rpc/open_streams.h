#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/rpc/security/access_control.h"
#include "grpcpp/server_context.h"
#include "grpcpp/support/server_interceptor.h"

namespace demorl {

// The streams of a server towards its clients; ends those that must not go on. Thread-safe; outlives the
// server.
class OpenStreams {
 public:
  // `age_limit` may be infinite; `access` is null where nobody is asked who they are.
  OpenStreams(absl::Duration age_limit, std::shared_ptr<AccessControl> access)
      : age_limit_(age_limit), access_(std::move(access)) {}

  // Watches the calls of one server.
  std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface> MakeInterceptorFactory();

  // Ends with UNAVAILABLE those that are older than the limit, so that clients reopen them, over a newer
  // connection: gRPC 1.51 lets a connection live as long as its streams, whatever
  // GRPC_ARG_MAX_CONNECTION_AGE_GRACE_MS says. Ends with UNAUTHENTICATED and the reason those of peers who
  // could not begin them now: certificate revoked, token expired or taken back. To be called now and then.
  void EndWhatMust();

 private:
  class Interceptor;
  class Factory;

  struct Stream {
    grpc::ServerContextBase* context = nullptr;
    std::optional<std::string> authorization;
    absl::Duration end;
    bool is_ended = false;
  };

  void Add(const Interceptor* stream, Stream state);
  void Remove(const Interceptor* stream);
  absl::Status CheckMayGoOn(const Stream& stream, absl::Duration now) const;

  const absl::Duration age_limit_;
  const std::shared_ptr<AccessControl> access_;
  absl::Mutex mutex_;
  std::map<const Interceptor*, Stream> streams_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace demorl
