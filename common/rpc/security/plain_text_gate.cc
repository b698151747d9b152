#include "common/rpc/security/plain_text_gate.h"

#include <cstdint>
#include <map>
#include <optional>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "absl/synchronization/mutex.h"
#include "common/base/clock.h"
#include "common/rpc/security/call_rates.h"
#include "common/rpc/security/refused_calls.h"
#include "grpc/grpc.h"
#include "grpc/grpc_security.h"
#include "grpcpp/security/auth_context.h"
#include "grpcpp/server_context.h"

namespace demorl {
namespace {

using grpc::experimental::InterceptionHookPoints;
using grpc::experimental::InterceptorBatchMethods;
using grpc::experimental::ServerRpcInfo;

// By which we know a connection again: a number of ours among the properties of its peer.
constexpr char kConnection[] = "demorl_connection";
// Connections remembered; more are forgotten together, and each may then begin one call more.
constexpr size_t kMaxConnections = 16384;

// Which addresses have begun how many calls. Thread-safe.
class Addresses {
 public:
  Addresses(double max_calls_per_second, Metrics* metrics)
      : rates_(max_calls_per_second, RealClock::Get()), refused_(metrics) {}

  // Whether a call may begin; names the connection if it is new.
  absl::Status Admit(grpc_auth_context* connection) {
    const std::optional<std::string> address = AddressOf(connection);
    const absl::Status status = address.has_value() ? rates_.Take(*address) : absl::OkStatus();
    refused_.Note(status);
    return status;
  }

  // Of a call that was let in.
  void Learn(const grpc::ServerContextBase& call) {
    const auto numbers = call.auth_context()->FindPropertyValues(kConnection);
    if (numbers.empty()) {
      return;  // within the process
    }
    const std::string number(numbers.front().data(), numbers.front().size());
    absl::MutexLock lock(&mutex_);
    if (addresses_.count(number) > 0) {
      return;
    }
    if (addresses_.size() >= kMaxConnections) {
      addresses_.clear();
    }
    const std::string& address = addresses_[number] = AddressOfPeer(call.peer());
    rates_.Take(address).IgnoreError();
  }

 private:
  std::optional<std::string> AddressOf(grpc_auth_context* connection) {
    absl::MutexLock lock(&mutex_);  // calls that come at once must not name their connection twice
    grpc_auth_property_iterator named = grpc_auth_context_find_properties_by_name(connection, kConnection);
    const grpc_auth_property* number = grpc_auth_property_iterator_next(&named);
    if (number == nullptr) {
      grpc_auth_context_add_cstring_property(connection, kConnection, absl::StrCat(next_++).c_str());
      return std::nullopt;
    }
    const auto found = addresses_.find(std::string(number->value, number->value_length));
    return found == addresses_.end() ? std::nullopt : std::make_optional(found->second);
  }

  CallRates rates_;
  RefusedCalls refused_;
  absl::Mutex mutex_;
  uint64_t next_ ABSL_GUARDED_BY(mutex_) = 0;
  // By the connection's number.
  std::map<std::string, std::string> addresses_ ABSL_GUARDED_BY(mutex_);
};

// gRPC's own for plain text takes no processor; the library beneath does.
class Credentials final : public grpc::ServerCredentials {
 public:
  explicit Credentials(std::shared_ptr<Addresses> addresses) : addresses_(std::move(addresses)) {}
  void SetAuthMetadataProcessor(const std::shared_ptr<grpc::AuthMetadataProcessor>&) override {}

 private:
  using AddressesPtr = std::shared_ptr<Addresses>;

  int AddPortToServer(const std::string& address, grpc_server* server) override {
    grpc_server_credentials* const credentials = grpc_insecure_server_credentials_create();
    grpc_server_credentials_set_auth_metadata_processor(
        credentials, {.process = Process,
                      .destroy = [](void* state) { delete static_cast<AddressesPtr*>(state); },
                      .state = new AddressesPtr(addresses_)});
    const int port = grpc_server_add_http2_port(server, address.c_str(), credentials);
    grpc_server_credentials_release(credentials);
    return port;
  }

  static void Process(void* state, grpc_auth_context* connection, const grpc_metadata*, size_t,
                      grpc_process_auth_metadata_done_cb done, void* call) {
    const absl::Status status = (*static_cast<AddressesPtr*>(state))->Admit(connection);
    done(call, nullptr, 0, nullptr, 0, static_cast<grpc_status_code>(status.raw_code()),
         status.ok() ? nullptr : std::string(status.message()).c_str());
  }

  const AddressesPtr addresses_;
};

class Interceptor final : public grpc::experimental::Interceptor {
 public:
  Interceptor(std::shared_ptr<Addresses> addresses, const grpc::ServerContextBase* call)
      : addresses_(std::move(addresses)), call_(*call) {}

  void Intercept(InterceptorBatchMethods* methods) override {
    if (methods->QueryInterceptionHookPoint(InterceptionHookPoints::POST_RECV_INITIAL_METADATA)) {
      addresses_->Learn(call_);
    }
    methods->Proceed();
  }

 private:
  const std::shared_ptr<Addresses> addresses_;
  const grpc::ServerContextBase& call_;
};

class InterceptorFactory final : public grpc::experimental::ServerInterceptorFactoryInterface {
 public:
  explicit InterceptorFactory(std::shared_ptr<Addresses> addresses) : addresses_(std::move(addresses)) {}
  grpc::experimental::Interceptor* CreateServerInterceptor(ServerRpcInfo* info) override {
    return new Interceptor(addresses_, info->server_context());
  }

 private:
  const std::shared_ptr<Addresses> addresses_;
};

}  // namespace

std::string AddressOfPeer(const std::string& peer) {
  absl::string_view address = peer;
  if (!absl::ConsumePrefix(&address, "ipv4:") && !absl::ConsumePrefix(&address, "ipv6:")) {
    return peer;
  }
  return absl::StrReplaceAll(address.substr(0, address.rfind(':')),
                             {{"[", ""}, {"]", ""}, {"%5B", ""}, {"%5D", ""}});
}

PlainTextGate MakePlainTextGate(double max_calls_per_second, Metrics* metrics) {
  const auto addresses = std::make_shared<Addresses>(max_calls_per_second, metrics);
  return {.credentials = std::make_shared<Credentials>(addresses),
          .interceptor = std::make_unique<InterceptorFactory>(addresses)};
}

}  // namespace demorl
