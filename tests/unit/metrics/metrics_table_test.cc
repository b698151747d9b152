// docs/metrics.md is written from the instruments that the services make:
// DEMORL_WRITE_DOCS=1 build/tests/metrics_table_test brings it up to date.
#include <cstdlib>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/file_io.h"
#include "common/metrics/metrics.h"
#include "gmock/gmock.h"
#include "services/actor/actor_metrics.h"
#include "services/cli/run/evaluator_metrics.h"
#include "services/model_trainer/model_trainer_metrics.h"
#include "services/mpc_rollout/mpc_rollout_metrics.h"
#include "services/replay/core/replay_metrics.h"
#include "services/robot_gateway/robot_gateway_metrics.h"
#include "services/sac_learner/sac_learner_metrics.h"
#include "services/snapshot/core/snapshot_metrics.h"
#include "tests/testing/status_matchers.h"

namespace demorl {
namespace {

using ::testing::AnyOf;
using ::testing::EndsWith;
using ::testing::IsEmpty;
using ::testing::MatchesRegex;
using ::testing::Not;

struct MetricRow {
  std::string type;
  std::string help;
  std::map<std::string, std::set<std::string>> labels;  // and their values
};

// Remembers what was asked for.
class MetricCatalogue final : public Metrics {
 public:
  Counter& GetCounter(const std::string& name, const std::string& help, const MetricLabels& labels) override {
    Remember(name, "counter", help, labels);
    return instruments_->GetCounter(name, help, labels);
  }
  Gauge& GetGauge(const std::string& name, const std::string& help, const MetricLabels& labels) override {
    Remember(name, "gauge", help, labels);
    return instruments_->GetGauge(name, help, labels);
  }
  Histogram& GetHistogram(const std::string& name, const std::string& help, const std::vector<double>& bounds,
                          const MetricLabels& labels) override {
    Remember(name, "histogram", help, labels);
    return instruments_->GetHistogram(name, help, bounds, labels);
  }

  const std::map<std::string, MetricRow>& rows() const { return rows_; }

 private:
  void Remember(const std::string& name, const std::string& type, const std::string& help,
                const MetricLabels& labels) {
    MetricRow& row = rows_[name];
    row.type = type;
    row.help = help;
    for (const auto& [label, value] : labels) {
      row.labels[label].insert(value);
    }
  }

  const std::unique_ptr<Metrics> instruments_ = MakeLocalMetrics();
  std::map<std::string, MetricRow> rows_;
};

// By the service that exports them.
std::map<std::string, std::map<std::string, MetricRow>> AllMetrics() {
  std::map<std::string, MetricCatalogue> services;
  const TableInstruments table(&services["replay"], "env");
  const SnapshotMetrics snapshot(&services["snapshot"]);
  const ModelTrainerMetrics model_trainer(services["model_trainer"]);
  const MpcRolloutMetrics mpc_rollout(services["mpc_rollout"]);
  const SacLearnerMetrics sac_learner(services["sac_learner"]);
  const ActorMetrics actor(services["actor"]);
  const RobotGatewayMetrics gateway(services["leg_gateway, stochlite_gateway"], {"knee"});
  const EvaluatorMetrics evaluator(services["evaluator"]);
  std::map<std::string, std::map<std::string, MetricRow>> result;
  for (const auto& [service, catalogue] : services) {
    result[service] = catalogue.rows();
  }
  return result;
}

// A label of which there is one value takes others elsewhere: a table, a joint.
std::string LabelsText(const MetricRow& row) {
  std::vector<std::string> texts;
  for (const auto& [label, values] : row.labels) {
    texts.push_back(values.size() == 1 ? label : absl::StrCat(label, " (", absl::StrJoin(values, ", "), ")"));
  }
  return absl::StrJoin(texts, ", ");
}

constexpr char kIntroduction[] = R"(# Metrics

What the services export for Prometheus at their `metrics_address`. Written by `metrics_table_test` from the code
(`DEMORL_WRITE_DOCS=1 build/tests/metrics_table_test`); edits by hand are lost.

## Every service

| name | type | labels | meaning |
|---|---|---|---|
| `demorl_build_info` | gauge | service, revision | always 1; says what runs |
| `demorl_service_state` | gauge | service, state | 1 for the state that the service is in: starting, running, paused, draining or unhealthy |
| `demorl_trace_spans_total`, `demorl_trace_spans_dropped_total` | counter | | spans written to the trace file, and those it could not take; of a traced run |
| `grpc_server_started_total`, `grpc_client_started_total` | counter | grpc_service, grpc_method | calls that have begun |
| `grpc_server_handled_total`, `grpc_client_handled_total` | counter | the same, grpc_code | calls that have ended, by their status |
| `grpc_server_handling_seconds`, `grpc_client_handling_seconds` | histogram | grpc_service, grpc_method | from the start of a call to its status; a stream is one call |
| `demorl_rpc_refused_total` | counter | grpc_code | calls refused before their handler: nobody we know, a role that may not, too many calls |
| `demorl_rpc_certificate_not_before_timestamp_seconds`, `demorl_rpc_certificate_not_after_timestamp_seconds` | gauge | | when the certificate of the service begins and expires, since 1970; over TLS alone |
| `process_cpu_seconds_total` | counter | | user and system CPU time |
| `process_resident_memory_bytes`, `process_virtual_memory_bytes` | gauge | | memory in RAM; address space |
| `process_start_time_seconds` | gauge | | start of the process since 1970 |
| `process_threads`, `process_open_fds`, `process_max_fds` | gauge | | threads; file descriptors open, and allowed |
)";

std::string MetricsTable() {
  std::string text = kIntroduction;
  for (const auto& [service, metrics] : AllMetrics()) {
    absl::StrAppend(&text, "\n## ", service, "\n\n| name | type | labels | meaning |\n|---|---|---|---|\n");
    for (const auto& [name, row] : metrics) {
      absl::StrAppend(&text, "| `", name, "` | ", row.type, " | ", LabelsText(row), " | ", row.help, " |\n");
    }
  }
  return text;
}

TEST(MetricsTableTest, TheDocumentIsWhatTheServicesExport) {
  if (std::getenv("DEMORL_WRITE_DOCS") != nullptr) {
    ASSERT_OK(WriteFileAtomically(DEMORL_METRICS_TABLE, MetricsTable()));
  }
  ASSERT_OK_AND_ASSIGN(const std::string document, ReadFile(DEMORL_METRICS_TABLE));
  EXPECT_EQ(document, MetricsTable()) << "docs/metrics.md is stale; DEMORL_WRITE_DOCS=1 writes it";
}

TEST(MetricsTableTest, NamesFollowPrometheusPractice) {
  for (const auto& [service, metrics] : AllMetrics()) {
    for (const auto& [name, row] : metrics) {
      EXPECT_THAT(name, MatchesRegex("demorl_[a-z0-9_]+[a-z0-9]"));
      EXPECT_EQ(absl::EndsWith(name, "_total"), row.type == "counter") << name;
      EXPECT_THAT(row.help, Not(IsEmpty())) << name;
      if (row.type == "histogram") {
        EXPECT_THAT(name, EndsWith("_seconds"));
      }
      EXPECT_THAT(name, Not(AnyOf(EndsWith("_ms"), EndsWith("_us"), EndsWith("_kb"), EndsWith("_percent"))));
    }
  }
}

}  // namespace
}  // namespace demorl
