#include "common/tensor/trace_codec.h"

#include <algorithm>
#include <string>

namespace demorl {
namespace {

namespace pb = ::demorl::common::v1;

template <size_t kSize>
bool DecodeId(const std::string& bytes, std::array<uint8_t, kSize>* id) {
  if (bytes.size() != kSize) {
    return false;
  }
  std::copy(bytes.begin(), bytes.end(), id->begin());
  return std::any_of(id->begin(), id->end(), [](uint8_t byte) { return byte != 0; });
}

}  // namespace

pb::TraceContext EncodeTraceContext(const TraceContext& context) {
  pb::TraceContext message;
  message.set_trace_id(context.trace_id.data(), context.trace_id.size());
  message.set_span_id(context.span_id.data(), context.span_id.size());
  return message;
}

std::optional<TraceContext> DecodeTraceContext(const pb::TraceContext& message) {
  TraceContext context;
  if (!DecodeId(message.trace_id(), &context.trace_id) || !DecodeId(message.span_id(), &context.span_id)) {
    return std::nullopt;
  }
  return context;
}

void EncodeTraceContexts(const std::vector<TraceContext>& contexts,
                         google::protobuf::RepeatedPtrField<pb::TraceContext>* messages) {
  for (const TraceContext& context : contexts) {
    *messages->Add() = EncodeTraceContext(context);
  }
}

std::vector<TraceContext> DecodeTraceContexts(
    const google::protobuf::RepeatedPtrField<pb::TraceContext>& messages) {
  std::vector<TraceContext> contexts;
  for (const pb::TraceContext& message : messages) {
    if (const std::optional<TraceContext> context = DecodeTraceContext(message); context.has_value()) {
      contexts.push_back(*context);
    }
  }
  return contexts;
}

}  // namespace demorl
