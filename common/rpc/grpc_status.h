#pragma once

#include "absl/status/status.h"
#include "grpcpp/support/status.h"

namespace demorl {

// The one place where statuses cross the RPC boundary; codes have the same numbers on both sides.
grpc::Status ToGrpcStatus(const absl::Status& status);
absl::Status FromGrpcStatus(const grpc::Status& status);

}  // namespace demorl
