#include "common/tracing/trace_log.h"

#include <sys/resource.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "nlohmann/json.hpp"
#include "tests/testing/status_matchers.h"

namespace demorl {
namespace {

using ::demorl::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Json = nlohmann::json;

class TraceLogTest : public ::testing::Test {
 protected:
  TraceLogTest() : folder_(std::filesystem::path(::testing::TempDir()) / "trace_log_test") {
    std::filesystem::remove_all(folder_);
  }
  ~TraceLogTest() override { std::filesystem::remove_all(folder_); }

  std::unique_ptr<TraceLog> Open(double sample_ratio = 1, int64_t max_file_bytes = 1 << 20) {
    absl::StatusOr<std::unique_ptr<TraceLog>> log = TraceLog::Open({.directory = folder_ / "traces",
                                                                    .sample_ratio = sample_ratio,
                                                                    .max_file_bytes = max_file_bytes,
                                                                    .service = "replay",
                                                                    .run_id = "run-1",
                                                                    .revision = "abc"},
                                                                   metrics_.get());
    EXPECT_OK(log);
    path_ = (*log)->path();
    return *std::move(log);
  }

  static std::vector<Json> Lines(const std::string& path) {
    std::vector<Json> lines;
    std::ifstream stream(path);
    for (std::string line; std::getline(stream, line);) {
      lines.push_back(Json::parse(line));
    }
    return lines;
  }
  static std::vector<Json> Spans(const std::string& path) {
    std::vector<Json> spans;
    for (const Json& line : Lines(path)) {
      for (const Json& span : line.at("resourceSpans").at(0).at("scopeSpans").at(0).at("spans")) {
        spans.push_back(span);
      }
    }
    return spans;
  }
  double Count(const std::string& name) { return metrics_->GetCounter(name, "").Value(); }

  const std::filesystem::path folder_;
  const std::unique_ptr<Metrics> metrics_ = MakeLocalMetrics();
  std::string path_;
};

SpanContent Content(const std::string& name = "work") {
  return {.name = name,
          .start = absl::FromUnixNanos(1'000'000'000'000'000'001),
          .end = absl::FromUnixSeconds(1'000'000'001)};
}

TEST_F(TraceLogTest, WritesSpansAsTheProtocolsJson) {
  std::unique_ptr<TraceLog> log = Open();
  const TraceContext root{.trace_id = {0xab, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2},
                          .span_id = {0, 0, 0, 0, 0, 0, 0, 0x0f}};
  log->Add(root, nullptr, Content("collect"));
  const TraceContext child = log->NewChild(root);
  EXPECT_EQ(child.trace_id, root.trace_id);
  EXPECT_NE(child.span_id, root.span_id);
  SpanContent content = Content("append");
  content.attributes = {{"rows", int64_t{1} << 60}, {"share", 0.5}, {"table", std::string("env")}};
  log->Add(child, &root, content);
  log.reset();

  const Json resource = Lines(path_).at(0).at("resourceSpans").at(0).at("resource");
  EXPECT_EQ(resource.at("attributes").at(1),
            Json::parse(R"({"key": "service.name", "value": {"stringValue": "replay"}})"));
  EXPECT_EQ(resource.at("attributes").at(4).at("value").at("stringValue"), "run-1");
  const std::vector<Json> spans = Spans(path_);
  ASSERT_EQ(spans.size(), 2u);
  EXPECT_EQ(spans[0].at("traceId"), "ab010000000000000000000000000002");
  EXPECT_EQ(spans[0].at("spanId"), "000000000000000f");
  EXPECT_FALSE(spans[0].contains("parentSpanId"));
  EXPECT_EQ(spans[0].at("startTimeUnixNano"), "1000000000000000001");
  EXPECT_EQ(spans[1].at("parentSpanId"), "000000000000000f");
  EXPECT_EQ(spans[1].at("traceId"), spans[0].at("traceId"));
  EXPECT_EQ(spans[1].at("attributes"),
            Json::parse(R"([{"key": "rows", "value": {"intValue": "1152921504606846976"}},
                                                      {"key": "share", "value": {"doubleValue": 0.5}},
                                                      {"key": "table", "value": {"stringValue": "env"}}])"));
  EXPECT_EQ(Count("demorl_trace_spans_total"), 2);
  EXPECT_EQ(Count("demorl_trace_spans_dropped_total"), 0);
}

TEST_F(TraceLogTest, TracesTheFirstAndThenAnEvenShare) {
  const std::unique_ptr<TraceLog> log = Open(0.25);
  std::vector<int> traced;
  std::set<std::array<uint8_t, 16>> ids;
  for (int i = 0; i < 12; ++i) {
    if (const std::optional<TraceContext> context = log->StartTrace(); context.has_value()) {
      traced.push_back(i);
      ids.insert(context->trace_id);
    }
  }
  EXPECT_THAT(traced, ElementsAre(0, 4, 8));
  EXPECT_EQ(ids.size(), 3u);
  EXPECT_FALSE(Open(0)->StartTrace().has_value());
}

TEST_F(TraceLogTest, KeepsItsFilesBelowTheirBound) {
  constexpr int64_t kMaxBytes = 4096;
  // One line for each log, and they share a file.
  for (int i = 0; i < 40; ++i) {
    Open(1, kMaxBytes)->Add({.trace_id = {1}, .span_id = {2}}, nullptr, Content(absl::StrCat("span ", i)));
  }
  EXPECT_EQ(Spans(path_).back().at("name"), "span 39");
  EXPECT_LE(std::filesystem::file_size(path_), kMaxBytes);
  EXPECT_LE(std::filesystem::file_size(path_ + ".1"), kMaxBytes);
  const size_t kept = Spans(path_).size() + Spans(path_ + ".1").size();
  EXPECT_LT(kept, 40u);
  EXPECT_EQ(Spans(path_ + ".1").front().at("name"), absl::StrCat("span ", 40 - kept));
}

TEST_F(TraceLogTest, ALineThatTheDiskTakesHalfOfSpoilsNoOther) {
  const auto add = [this](const std::string& name) {
    Open(1, int64_t{1} << 30)->Add({.trace_id = {1}, .span_id = {2}}, nullptr, Content(name));
  };
  add(std::string(1 << 20, 'x'));  // more than this test says itself, to which the limit applies too
  rlimit before{};
  getrlimit(RLIMIT_FSIZE, &before);
  const auto handler = signal(SIGXFSZ, SIG_IGN);
  const rlimit half_a_line{std::filesystem::file_size(path_) + 100, before.rlim_max};
  setrlimit(RLIMIT_FSIZE, &half_a_line);
  add("lost");
  setrlimit(RLIMIT_FSIZE, &before);
  signal(SIGXFSZ, handler);
  add("later");
  EXPECT_EQ(Count("demorl_trace_spans_dropped_total"), 1);
  ASSERT_EQ(Spans(path_).size(), 2u);
  EXPECT_EQ(Spans(path_).back().at("name"), "later");
}

TEST_F(TraceLogTest, ManyThreadsMayAddAtOnceAndWhatIsTooMuchIsDropped) {
  constexpr int kPerThread = 5000;
  std::unique_ptr<TraceLog> log = Open();
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([&log] {
      for (int span = 0; span < kPerThread; ++span) {
        log->Add(*log->StartTrace(), nullptr, Content());
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  log.reset();
  const double written = Count("demorl_trace_spans_total");
  EXPECT_GE(written, 4096);
  EXPECT_EQ(written + Count("demorl_trace_spans_dropped_total"), 3 * kPerThread);
}

TEST_F(TraceLogTest, RefusesAFolderThatCannotBe) {
  std::ofstream(folder_.string()) << "a file";
  EXPECT_THAT(TraceLog::Open({.directory = folder_ / "traces", .service = "replay"}, metrics_.get()).status(),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("tracing.directory: cannot write")));
}

TEST_F(TraceLogTest, WithoutALogTracesGoOnAsTheyAre) {
  const std::vector<TraceContext> traces = {{.trace_id = {1}, .span_id = {2}}};
  EXPECT_EQ(AddChildSpans(nullptr, traces, Content()), traces);
}

TEST_F(TraceLogTest, KeepsAsManyTracesAsThereIsRoomFor) {
  std::vector<TraceContext> waiting(kMaxWaitingTraces - 1);
  KeepTraces({{.trace_id = {1}}, {.trace_id = {2}}}, &waiting);
  ASSERT_EQ(waiting.size(), kMaxWaitingTraces);
  EXPECT_EQ(waiting.back().trace_id[0], 1);
}

}  // namespace
}  // namespace demorl
