#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "common/tracing/trace_log.h"

namespace demorl {

// Traces everything and keeps the spans. Thread-safe.
class FakeTraceLog final : public TraceLog {
 public:
  struct Span {
    TraceContext context;
    std::optional<TraceContext> parent;
    SpanContent content;
  };

  std::optional<TraceContext> StartTrace() override {
    return TraceContext{.trace_id = {NextId()}, .span_id = {NextId()}};
  }
  TraceContext NewChild(const TraceContext& parent) override {
    return {.trace_id = parent.trace_id, .span_id = {NextId()}};
  }
  void Add(const TraceContext& span, const TraceContext* parent, SpanContent content) override {
    absl::MutexLock lock(&mutex_);
    spans_.push_back({.context = span, .content = std::move(content)});
    if (parent != nullptr) {
      spans_.back().parent = *parent;
    }
  }
  const std::string& path() const override { return path_; }

  std::vector<Span> spans() const {
    absl::MutexLock lock(&mutex_);
    return spans_;
  }

 private:
  uint8_t NextId() {
    absl::MutexLock lock(&mutex_);
    return ++last_id_;
  }

  const std::string path_;
  mutable absl::Mutex mutex_;
  uint8_t last_id_ ABSL_GUARDED_BY(mutex_) = 0;
  std::vector<Span> spans_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace demorl
