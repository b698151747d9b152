#pragma once

#include <map>
#include <string>

#include "common/metrics/metrics.h"
#include "services/replay/core/quarantine.h"

namespace demorl {

// The instruments of one table; none of them does anything without a registry. Thread-safe as far as the
// registry is, but for Quarantined and SetWaiting, which are thread-compatible.
class TableInstruments {
 public:
  TableInstruments(Metrics* metrics, const std::string& table) : metrics_(metrics), table_(table) {
    if (metrics_ == nullptr) {
      return;
    }
    const MetricLabels labels = {{"table", table}};
    inserted_ = &metrics->GetCounter("demorl_replay_rows_inserted_total", "Rows taken in", labels);
    sampled_ = &metrics->GetCounter("demorl_replay_rows_sampled_total", "Rows drawn for batches", labels);
    deduplicated_ = &metrics->GetCounter("demorl_replay_chunks_deduplicated_total",
                                         "Chunks that arrived again and were dropped", labels);
    size_ = &metrics->GetGauge("demorl_replay_table_rows", "Rows held", labels);
    memory_ = &metrics->GetGauge("demorl_replay_table_bytes", "Memory of the rows held", labels);
    limiter_error_ = &metrics->GetGauge(
        "demorl_replay_limiter_error_updates",
        "(rows_inserted - min_rows) * updates_per_row - updates; negative when updates are ahead", labels);
    waiting_for_inserts_ = &metrics->GetCounter("demorl_replay_waiting_for_inserts_seconds_total",
                                                "Time that samplers have waited for rows", labels);
    waiting_for_updates_ = &metrics->GetCounter("demorl_replay_waiting_for_updates_seconds_total",
                                                "Time that writers have waited for updates", labels);
    sample_seconds_ = &metrics->GetHistogram("demorl_replay_sample_seconds",
                                             "Time to draw and gather a batch", Buckets(), labels);
    rounds_queued_ = &metrics->GetGauge("demorl_replay_planning_rounds_queued",
                                        "Planning rounds that are due or under way", labels);
    rounds_skipped_ = &metrics->GetCounter("demorl_replay_planning_rounds_skipped_total",
                                           "Planning rounds that newer dynamics came before", labels);
    planners_ = &metrics->GetGauge("demorl_replay_planners",
                                   "Planners that have lately asked for rounds, or work at some", labels);
    append_ack_seconds_ =
        &metrics->GetHistogram("demorl_replay_append_ack_seconds",
                               "Time from taking a chunk in until it is durable", Buckets(), labels);
    for (const char* reason : kQuarantineReasons) {
      Quarantined(reason, 0);
    }
  }

  void Inserted(double rows) { Increment(inserted_, rows); }
  void Sampled(double rows) { Increment(sampled_, rows); }
  void Deduplicated() { Increment(deduplicated_, 1); }
  void Quarantined(const std::string& reason, double rows) {
    if (metrics_ != nullptr) {
      metrics_
          ->GetCounter("demorl_replay_rows_quarantined_total", "Rows refused as malformed",
                       {{"table", table_}, {"reason", reason}})
          .Increment(rows);
    }
  }
  void SetFigures(double rows, double bytes, double limiter_error) {
    if (metrics_ != nullptr) {
      size_->Set(rows);
      memory_->Set(bytes);
      limiter_error_->Set(limiter_error);
    }
  }
  // Both since the start.
  void SetWaiting(double for_inserts_s, double for_updates_s) {
    if (metrics_ != nullptr) {
      waiting_for_inserts_->Increment(for_inserts_s - waiting_for_inserts_->Value());
      waiting_for_updates_->Increment(for_updates_s - waiting_for_updates_->Value());
    }
  }
  // `skipped` since the start.
  void SetRounds(double queued, double skipped, double planners) {
    if (metrics_ != nullptr) {
      rounds_queued_->Set(queued);
      rounds_skipped_->Increment(skipped - rounds_skipped_->Value());
      planners_->Set(planners);
    }
  }
  void SampleTook(double seconds) { Observe(sample_seconds_, seconds); }
  void AppendAckTook(double seconds) { Observe(append_ack_seconds_, seconds); }

 private:
  static std::vector<double> Buckets() {
    return {1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 0.01, 0.03, 0.1, 0.3, 1, 10};
  }
  static void Increment(Counter* counter, double amount) {
    if (counter != nullptr) {
      counter->Increment(amount);
    }
  }
  static void Observe(Histogram* histogram, double value) {
    if (histogram != nullptr) {
      histogram->Observe(value);
    }
  }

  Metrics* metrics_;
  std::string table_;
  Counter* inserted_ = nullptr;
  Counter* sampled_ = nullptr;
  Counter* deduplicated_ = nullptr;
  Gauge* size_ = nullptr;
  Gauge* memory_ = nullptr;
  Gauge* limiter_error_ = nullptr;
  Counter* waiting_for_inserts_ = nullptr;
  Counter* waiting_for_updates_ = nullptr;
  Gauge* rounds_queued_ = nullptr;
  Counter* rounds_skipped_ = nullptr;
  Gauge* planners_ = nullptr;
  Histogram* sample_seconds_ = nullptr;
  Histogram* append_ack_seconds_ = nullptr;
};

}  // namespace demorl
