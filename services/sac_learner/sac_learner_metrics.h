#pragma once

#include "common/metrics/checkpoint_metrics.h"
#include "common/metrics/metrics.h"
#include "common/metrics/unset_gauge.h"

namespace demorl {

// The learner's instruments.
struct SacLearnerMetrics {
  explicit SacLearnerMetrics(Metrics& metrics)
      : updates(metrics.GetCounter("demorl_sac_learner_updates_total", "Gradient updates done")),
        skipped(metrics.GetCounter("demorl_sac_learner_skipped_total",
                                   "Updates skipped because a batch, loss or gradient was not finite")),
        waiting_s(metrics.GetCounter("demorl_sac_learner_waiting_seconds_total",
                                     "Time spent waiting for batches from replay")),
        publishes(metrics.GetCounter("demorl_sac_learner_publishes_total", "Snapshots published")),
        publish_failures(metrics.GetCounter("demorl_sac_learner_publish_failures_total",
                                            "Attempts to publish a snapshot that failed")),
        publish_superseded(metrics.GetCounter("demorl_sac_learner_publish_superseded_total",
                                              "Snapshots replaced by a newer one before they were sent")),
        checkpoints(metrics, "sac_learner"),
        update_s(metrics.GetHistogram("demorl_sac_learner_update_seconds", "Duration of an update",
                                      {0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.02, 0.05, 0.1, 1})),
        batch_age_s(metrics.GetHistogram(
            "demorl_sac_learner_batch_age_seconds",
            "Mean time since the rows from D_ENV of an update's batch were taken in, or since replay's start",
            {0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000, 3000, 10000, 30000, 100000})),
        critic_loss(
            GetUnsetGauge(metrics, "demorl_sac_learner_critic_loss",
                          "Sum over the q functions of half their mean squared error, of the newest update")),
        policy_loss(GetUnsetGauge(metrics, "demorl_sac_learner_policy_loss",
                                  "Loss of the policy, of the newest update")),
        entropy_temperature(GetUnsetGauge(metrics, "demorl_sac_learner_entropy_temperature",
                                          "Entropy temperature after the newest update")),
        entropy(GetUnsetGauge(metrics, "demorl_sac_learner_entropy_nats",
                              "Estimated entropy of the policy, of the newest update")),
        mean_q(
            GetUnsetGauge(metrics, "demorl_sac_learner_mean_q", "Mean q of the batch of the newest update")),
        real_ratio(GetUnsetGauge(metrics, "demorl_sac_learner_real_ratio",
                                 "Share of each batch from D_ENV, in the newest update")),
        policy_version(
            metrics.GetGauge("demorl_sac_learner_policy_version", "Newest policy version published")) {}

  Counter& updates;
  Counter& skipped;
  Counter& waiting_s;
  Counter& publishes;
  Counter& publish_failures;
  Counter& publish_superseded;
  CheckpointMetrics checkpoints;
  Histogram& update_s;
  Histogram& batch_age_s;
  Gauge& critic_loss;
  Gauge& policy_loss;
  Gauge& entropy_temperature;
  Gauge& entropy;
  Gauge& mean_q;
  Gauge& real_ratio;
  Gauge& policy_version;
};

}  // namespace demorl
