#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/base/trace_context.h"
#include "common/metrics/metrics.h"

namespace demorl {

// What a service did within a trace, on the wall clock.
struct SpanContent {
  using Value = std::variant<int64_t, double, std::string>;

  std::string name;
  absl::Time start;
  absl::Time end;
  std::vector<std::pair<std::string, Value>> attributes = {};
};

// The spans of one service, written as OTLP/JSON to a file of its own by a thread of its own: each line is a
// message of the OpenTelemetry protocol (TracesData), as its file exporters write and collectors read it.
// Nothing ever waits for the file: what it cannot take is dropped and counted. Thread-safe.
class TraceLog {
 public:
  struct Options {
    // Made if it is not there.
    std::string directory;
    // Share of StartTrace's calls that start one.
    double sample_ratio = 0;
    // A file that grows beyond this is renamed to "*.1", in place of an older one.
    int64_t max_file_bytes = int64_t{16} << 20;
    // Of the resource that all spans belong to.
    std::string service;
    std::string run_id;
    std::string revision;
  };

  // UNAVAILABLE naming the file if it cannot be written. `metrics` outlives the log.
  static absl::StatusOr<std::unique_ptr<TraceLog>> Open(const Options& options, Metrics* metrics);
  // Writes what is left.
  virtual ~TraceLog() = default;

  // A span that begins a trace; nullopt for those that are not sampled. The first call gives one.
  virtual std::optional<TraceContext> StartTrace() = 0;
  // A span that follows from `parent`, known before it is added.
  virtual TraceContext NewChild(const TraceContext& parent) = 0;

  // Never blocks. `parent` is null for the first span of a trace.
  virtual void Add(const TraceContext& span, const TraceContext* parent, SpanContent content) = 0;

  // "<directory>/<service>-<host>-<process>.jsonl"
  virtual const std::string& path() const = 0;
};

// For the traces that one piece of work carries, usually none. Without a log they go on as they are, so that
// a service which does not trace breaks no chain.

// A child of each of `parents`.
std::vector<TraceContext> NewChildren(TraceLog* log, const std::vector<TraceContext>& parents);

// Adds `content` to the trace of each of `spans`, which are the children of `parents`.
void AddSpans(TraceLog* log, const std::vector<TraceContext>& spans, const std::vector<TraceContext>& parents,
              const SpanContent& content);

// Both: what follows from the work is a child of what is returned.
std::vector<TraceContext> AddChildSpans(TraceLog* log, const std::vector<TraceContext>& parents,
                                        const SpanContent& content);

// Traces that wait for the next snapshot, at most.
inline constexpr size_t kMaxWaitingTraces = 16;

// Adds as many of `traces` as there is room for.
void KeepTraces(const std::vector<TraceContext>& traces, std::vector<TraceContext>* waiting);

}  // namespace demorl
