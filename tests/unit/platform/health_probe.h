#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "common/rpc/grpc_status.h"
#include "grpcpp/channel.h"
#include "grpcpp/client_context.h"
#include "grpcpp/generic/generic_stub.h"
#include "gtest/gtest.h"

namespace demorl::testing {

inline constexpr int kServing = 1;
inline constexpr int kNotServing = 2;

// Any unary call by its method's full name, without a stub.
inline grpc::Status Call(const std::shared_ptr<grpc::Channel>& channel, const std::string& method,
                         const std::string& request_bytes, grpc::ByteBuffer* response) {
  grpc::GenericStub stub(channel);
  const grpc::Slice slice(request_bytes);
  const grpc::ByteBuffer request(&slice, 1);
  grpc::ClientContext context;
  absl::Notification done;
  grpc::Status status;
  stub.UnaryCall(&context, method, grpc::StubOptions(), &request, response, [&](grpc::Status result) {
    status = std::move(result);
    done.Notify();
  });
  done.WaitForNotification();
  return status;
}

inline absl::Status CallStatus(const std::shared_ptr<grpc::Channel>& channel, const std::string& method) {
  grpc::ByteBuffer response;
  return FromGrpcStatus(Call(channel, method, "", &response));
}

// grpc.health.v1.Health/Check: field 1 is the name, field 1 of the answer the state.
inline int HealthOf(const std::shared_ptr<grpc::Channel>& channel, const std::string& service) {
  grpc::ByteBuffer response;
  const grpc::Status status =
      Call(channel, "/grpc.health.v1.Health/Check",
           absl::StrCat("\x0a", std::string(1, static_cast<char>(service.size())), service), &response);
  EXPECT_TRUE(status.ok()) << status.error_message();
  std::vector<grpc::Slice> slices;
  EXPECT_TRUE(response.Dump(&slices).ok());
  return !slices.empty() && slices[0].size() == 2 ? slices[0].begin()[1] : 0;
}

}  // namespace demorl::testing
