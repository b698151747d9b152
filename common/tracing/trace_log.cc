#include "common/tracing/trace_log.h"

#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <random>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "common/base/host_name.h"
#include "nlohmann/json.hpp"

namespace demorl {
namespace {

using Json = nlohmann::json;

constexpr size_t kMaxWaitingSpans = 4096;
constexpr absl::Duration kWriteInterval = absl::Milliseconds(500);
constexpr int kSpanKindInternal = 1;

struct Span {
  TraceContext context;
  // Zeros for the first of a trace.
  std::array<uint8_t, 8> parent_id{};
  SpanContent content;
};

template <size_t kSize>
std::string Hex(const std::array<uint8_t, kSize>& id) {
  return absl::BytesToHexString(absl::string_view(reinterpret_cast<const char*>(id.data()), id.size()));
}

// OTLP/JSON: integers of 64 bits are strings, ids are hexadecimal, enumerations are numbers.
Json ToJson(const std::string& key, const SpanContent::Value& value) {
  Json json;
  if (const auto* integer = std::get_if<int64_t>(&value)) {
    json["intValue"] = std::to_string(*integer);
  } else if (const auto* number = std::get_if<double>(&value)) {
    json["doubleValue"] = *number;
  } else {
    json["stringValue"] = std::get<std::string>(value);
  }
  return {{"key", key}, {"value", json}};
}

Json ToJson(const Span& span) {
  Json attributes = Json::array();
  for (const auto& [key, value] : span.content.attributes) {
    attributes.push_back(ToJson(key, value));
  }
  Json json = {{"traceId", Hex(span.context.trace_id)},
               {"spanId", Hex(span.context.span_id)},
               {"name", span.content.name},
               {"kind", kSpanKindInternal},
               {"startTimeUnixNano", std::to_string(absl::ToUnixNanos(span.content.start))},
               {"endTimeUnixNano", std::to_string(absl::ToUnixNanos(span.content.end))},
               {"attributes", attributes}};
  if (span.parent_id != std::array<uint8_t, 8>{}) {
    json["parentSpanId"] = Hex(span.parent_id);
  }
  return json;
}

// A file of lines that starts anew when it is full. Thread-compatible.
class RotatedFile {
 public:
  RotatedFile(std::string path, int64_t max_bytes) : path_(std::move(path)), max_bytes_(max_bytes) {}

  bool Open() {
    std::error_code error;
    bytes_ = std::filesystem::exists(path_, error)
                 ? static_cast<int64_t>(std::filesystem::file_size(path_, error))
                 : 0;
    stream_.close();
    stream_.clear();
    stream_.open(path_, std::ios::app | std::ios::binary);
    return stream_.good();
  }

  bool WriteLine(const std::string& line) {
    if (bytes_ > 0 && bytes_ + static_cast<int64_t>(line.size()) >= max_bytes_) {
      std::error_code error;
      stream_.close();
      std::filesystem::rename(path_, path_ + ".1", error);
      bytes_ = 0;
    }
    if (!stream_.is_open() || !stream_.good()) {
      Open();
    }
    stream_ << line << '\n' << std::flush;
    if (!stream_.good()) {  // what a full disk took of the line would spoil the next one as well
      stream_.close();      // tries to write the rest
      std::error_code error;
      std::filesystem::resize_file(path_, bytes_, error);
      return false;
    }
    bytes_ += static_cast<int64_t>(line.size()) + 1;
    return true;
  }

 private:
  const std::string path_;
  const int64_t max_bytes_;
  std::ofstream stream_;
  int64_t bytes_ = 0;
};

class FileTraceLog final : public TraceLog {
 public:
  FileTraceLog(const Options& options, std::string path, const std::string& instance, Metrics* metrics)
      : sample_ratio_(options.sample_ratio),
        path_(std::move(path)),
        file_(path_, options.max_file_bytes),
        written_(metrics->GetCounter("demorl_trace_spans_total", "Spans written to the trace file")),
        dropped_(metrics->GetCounter("demorl_trace_spans_dropped_total",
                                     "Spans that the trace file could not take, or not in time")),
        resource_({{"attributes",
                    {ToJson("service.namespace", std::string("demorl")),
                     ToJson("service.name", options.service), ToJson("service.instance.id", instance),
                     ToJson("service.version", options.revision), ToJson("demorl.run_id", options.run_id)}}}),
        credit_(1 - options.sample_ratio) {}

  ~FileTraceLog() override {
    if (!thread_.joinable()) {
      return;
    }
    {
      absl::MutexLock lock(&mutex_);
      stop_ = true;
    }
    thread_.join();
  }

  bool Start() {
    if (!file_.Open()) {
      return false;
    }
    thread_ = std::thread([this] { Run(); });
    return true;
  }

  std::optional<TraceContext> StartTrace() override {
    absl::MutexLock lock(&mutex_);
    credit_ += sample_ratio_;
    if (sample_ratio_ <= 0 || credit_ < 1) {
      return std::nullopt;
    }
    credit_ -= 1;
    TraceContext context;
    Fill(&context.trace_id);
    Fill(&context.span_id);
    return context;
  }

  TraceContext NewChild(const TraceContext& parent) override {
    absl::MutexLock lock(&mutex_);
    TraceContext context = parent;
    Fill(&context.span_id);
    return context;
  }

  void Add(const TraceContext& span, const TraceContext* parent, SpanContent content) override {
    absl::MutexLock lock(&mutex_);
    if (waiting_.size() >= kMaxWaitingSpans) {
      dropped_.Increment();
      return;
    }
    waiting_.push_back({.context = span, .content = std::move(content)});
    if (parent != nullptr) {
      waiting_.back().parent_id = parent->span_id;
    }
  }

  const std::string& path() const override { return path_; }

 private:
  // Not from the run's seed: a resumed run must not repeat the ids of the one before. Never all zeros.
  template <size_t kSize>
  void Fill(std::array<uint8_t, kSize>* id) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    std::generate(id->begin(), id->end(),
                  [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return static_cast<uint8_t>(random_()); });
    id->back() |= 1;
  }

  void Run() {
    pthread_setname_np(pthread_self(), "trace-log");
    bool stop = false;
    while (!stop) {
      std::vector<Span> spans;
      {
        absl::MutexLock lock(&mutex_);
        stop = mutex_.AwaitWithTimeout(absl::Condition(&stop_), kWriteInterval);
        spans.swap(waiting_);
      }
      if (!spans.empty()) {
        Write(spans);
      }
    }
  }

  void Write(const std::vector<Span>& spans) {
    Json list = Json::array();
    for (const Span& span : spans) {
      list.push_back(ToJson(span));
    }
    const Json scope = {{"scope", {{"name", "demorl"}}}, {"spans", list}};
    const Json message = {
        {"resourceSpans", {{{"resource", resource_}, {"scopeSpans", Json::array({scope})}}}}};
    const bool written = file_.WriteLine(message.dump(-1, ' ', false, Json::error_handler_t::replace));
    (written ? written_ : dropped_).Increment(static_cast<double>(spans.size()));
  }

  const double sample_ratio_;
  const std::string path_;
  RotatedFile file_;  // of the thread
  Counter& written_;
  Counter& dropped_;
  const Json resource_;

  absl::Mutex mutex_;
  std::random_device random_ ABSL_GUARDED_BY(mutex_);
  double credit_ ABSL_GUARDED_BY(mutex_);
  std::vector<Span> waiting_ ABSL_GUARDED_BY(mutex_);
  bool stop_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<TraceLog>> TraceLog::Open(const Options& options, Metrics* metrics) {
  const std::string instance = absl::StrCat(ExpandHostName("${HOSTNAME}"), "-", getpid());
  const std::filesystem::path folder = options.directory;
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  auto log = std::make_unique<FileTraceLog>(
      options, folder / absl::StrCat(options.service, "-", instance, ".jsonl"), instance, metrics);
  if (!log->Start()) {
    return absl::UnavailableError(
        absl::StrCat("tracing.directory: cannot write ", log->path(), "; want a folder that can be written"));
  }
  return log;
}

std::vector<TraceContext> NewChildren(TraceLog* log, const std::vector<TraceContext>& parents) {
  std::vector<TraceContext> children = parents;
  for (TraceContext& context : children) {
    context = log == nullptr ? context : log->NewChild(context);
  }
  return children;
}

void AddSpans(TraceLog* log, const std::vector<TraceContext>& spans, const std::vector<TraceContext>& parents,
              const SpanContent& content) {
  for (size_t i = 0; log != nullptr && i < spans.size(); ++i) {
    log->Add(spans[i], &parents[i], content);
  }
}

std::vector<TraceContext> AddChildSpans(TraceLog* log, const std::vector<TraceContext>& parents,
                                        const SpanContent& content) {
  std::vector<TraceContext> children = NewChildren(log, parents);
  AddSpans(log, children, parents, content);
  return children;
}

void KeepTraces(const std::vector<TraceContext>& traces, std::vector<TraceContext>* waiting) {
  const size_t room = kMaxWaitingTraces - std::min(kMaxWaitingTraces, waiting->size());
  waiting->insert(waiting->end(), traces.begin(),
                  traces.begin() + static_cast<ptrdiff_t>(std::min(room, traces.size())));
}

}  // namespace demorl
