#include "common/rpc/health_check.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "common/base/status_macros.h"
#include "common/rpc/grpc_log.h"
#include "common/rpc/grpc_settings.h"
#include "common/rpc/grpc_status.h"
#include "grpcpp/client_context.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/generic/generic_stub.h"
#include "grpcpp/security/credentials.h"

namespace demorl {
namespace {

// grpc.health.v1: field 1 of the request is the name, field 1 of the answer the state, of which 1 is SERVING.
constexpr char kMethod[] = "/grpc.health.v1.Health/Check";
constexpr absl::string_view kServing("\x08\x01", 2);

grpc::ByteBuffer MakeRequest(const std::string& service) {
  const grpc::Slice slice(absl::StrCat("\x0a", std::string(1, static_cast<char>(service.size())), service));
  return grpc::ByteBuffer(&slice, 1);
}

absl::StatusOr<std::string> ToBytes(const grpc::ByteBuffer& buffer) {
  std::vector<grpc::Slice> slices;
  RETURN_IF_ERROR(FromGrpcStatus(buffer.Dump(&slices)));
  std::string bytes;
  for (const grpc::Slice& slice : slices) {
    bytes.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  }
  return bytes;
}

}  // namespace

absl::Status CheckHealth(const std::string& address, const std::string& service, absl::Duration timeout) {
  if (service.size() > 127) {
    return absl::InvalidArgumentError(absl::StrCat("the name '", service, "' has more than 127 characters"));
  }
  RedirectGrpcLog();
  grpc::GenericStub stub(
      grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), CommonChannelArguments()));
  grpc::ClientContext context;
  context.set_deadline(absl::ToChronoTime(absl::Now() + timeout));
  const grpc::ByteBuffer request = MakeRequest(service);
  grpc::ByteBuffer response;
  grpc::Status status;
  absl::Notification done;
  stub.UnaryCall(&context, kMethod, grpc::StubOptions(), &request, &response, [&](grpc::Status result) {
    status = std::move(result);
    done.Notify();
  });
  done.WaitForNotification();
  if (!status.ok()) {
    return absl::Status(FromGrpcStatus(status).code(),
                        absl::StrCat("no answer about the health of '", service, "' from ", address, ": ",
                                     status.error_message()));
  }
  ASSIGN_OR_RETURN(const std::string answer, ToBytes(response));
  return answer == kServing
             ? absl::OkStatus()
             : absl::FailedPreconditionError(absl::StrCat("'", service, "' at ", address, " is not serving"));
}

}  // namespace demorl
