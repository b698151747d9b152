#include "common/rpc/security/refused_handshake.h"

#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/clock.h"

namespace demorl {
namespace {

using grpc::experimental::ClientRpcInfo;
using grpc::experimental::InterceptionHookPoints;
using grpc::experimental::Interceptor;
using grpc::experimental::InterceptorBatchMethods;

// A channel that is refused tries again every second or so.
constexpr absl::Duration kRecent = absl::Seconds(10);

// How gRPC's load balancing says that the last connection ended before the server's first frame. A connection
// that ends under a call has other words, and so have names that do not resolve and ports that refuse.
bool IsClosedConnection(const std::string& message) {
  return absl::StartsWith(message, "connections to all backends failing; last error: UNAVAILABLE") &&
         (absl::EndsWith(message, "Socket closed") || absl::EndsWith(message, "Connection reset by peer"));
}

struct ClientIdentity {
  std::shared_ptr<OwnCertificate> own;
  std::shared_ptr<const ClientHandshakes> handshakes;
};

// Of one call.
class Explainer final : public Interceptor {
 public:
  explicit Explainer(const ClientIdentity& identity)
      : identity_(identity), handshakes_before_(identity.handshakes->count()) {}

  void Intercept(InterceptorBatchMethods* methods) override {
    if (methods->QueryInterceptionHookPoint(InterceptionHookPoints::POST_RECV_STATUS)) {
      grpc::Status& status = *methods->GetRecvStatus();
      if (LooksRefused(status)) {
        status = grpc::Status(status.error_code(), absl::StrCat(status.error_message(), "; ", Explanation()),
                              status.error_details());
      }
    }
    methods->Proceed();
  }

 private:
  bool LooksRefused(const grpc::Status& status) const {
    switch (status.error_code()) {
      case grpc::StatusCode::UNAVAILABLE:
        return IsClosedConnection(status.error_message()) && identity_.handshakes->Age() < kRecent;
      case grpc::StatusCode::DEADLINE_EXCEEDED:
        // One may be the server's that was only slow.
        return identity_.handshakes->count() >= handshakes_before_ + 2;
      default:
        return false;
    }
  }

  std::string Explanation() const {
    return absl::StrCat("the server may have refused us after the TLS handshake; we show ",
                        identity_.own == nullptr ? "a token and no certificate" : identity_.own->Explain(),
                        "; its log says why");
  }

  const ClientIdentity identity_;
  const int64_t handshakes_before_;
};

class ExplainerFactory final : public grpc::experimental::ClientInterceptorFactoryInterface {
 public:
  explicit ExplainerFactory(ClientIdentity identity) : identity_(std::move(identity)) {}
  Interceptor* CreateClientInterceptor(ClientRpcInfo*) override { return new Explainer(identity_); }

 private:
  const ClientIdentity identity_;
};

}  // namespace

void ClientHandshakes::Count() {
  last_ns_.store(absl::ToInt64Nanoseconds(RealClock::Get().Now()));
  count_.fetch_add(1);
}

absl::Duration ClientHandshakes::Age() const {
  return count() == 0 ? absl::InfiniteDuration()
                      : RealClock::Get().Now() - absl::Nanoseconds(last_ns_.load());
}

std::unique_ptr<grpc::experimental::ClientInterceptorFactoryInterface> MakeRefusedHandshakeInterceptor(
    std::shared_ptr<OwnCertificate> own, std::shared_ptr<const ClientHandshakes> handshakes) {
  return std::make_unique<ExplainerFactory>(
      ClientIdentity{.own = std::move(own), .handshakes = std::move(handshakes)});
}

}  // namespace demorl
