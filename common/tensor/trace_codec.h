#pragma once

#include <optional>
#include <vector>

#include "common/base/trace_context.h"
#include "demorl/common/v1/trace.pb.h"
#include "google/protobuf/repeated_field.h"

namespace demorl {

demorl::common::v1::TraceContext EncodeTraceContext(const TraceContext& context);

// Nullopt for ids of a wrong length or of zeros alone: a trace is never worth an error.
std::optional<TraceContext> DecodeTraceContext(const demorl::common::v1::TraceContext& message);

void EncodeTraceContexts(const std::vector<TraceContext>& contexts,
                         google::protobuf::RepeatedPtrField<demorl::common::v1::TraceContext>* messages);
// Without those that cannot be decoded.
std::vector<TraceContext> DecodeTraceContexts(
    const google::protobuf::RepeatedPtrField<demorl::common::v1::TraceContext>& messages);

}  // namespace demorl
