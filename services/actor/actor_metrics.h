#pragma once

#include "common/metrics/applied_metrics.h"
#include "common/metrics/metrics.h"
#include "common/metrics/unset_gauge.h"

namespace demorl {

// The actor's instruments.
struct ActorMetrics {
  explicit ActorMetrics(Metrics& metrics)
      : steps(metrics.GetCounter("demorl_actor_steps_total", "Environment steps recorded")),
        episodes(metrics.GetCounter("demorl_actor_episodes_total", "Training episodes finished")),
        non_finite(metrics.GetCounter("demorl_actor_non_finite_total",
                                      "Non-finite numbers from a simulator or the policy")),
        policies_refused(metrics.GetCounter("demorl_actor_policies_refused_total",
                                            "Policy snapshots of wrong shapes or with non-finite weights")),
        waiting_s(metrics.GetCounter("demorl_actor_waiting_seconds_total",
                                     "Time spent waiting for the run-ahead limit or for replay")),
        spool_dropped_bytes(metrics.GetCounter("demorl_actor_spool_dropped_bytes_total",
                                               "Bytes of torn or damaged records found in the spool")),
        evaluations(metrics.GetCounter("demorl_actor_evaluations_total", "Evaluations answered")),
        policy_applied(metrics, "demorl_actor_policy", "policy"),
        evaluation_return(GetUnsetGauge(metrics, "demorl_actor_evaluation_return",
                                        "Mean return of the last evaluation answered")),
        policy_version(metrics.GetGauge("demorl_actor_policy_version", "Version of the policy in use")),
        policy_lag(metrics.GetGauge("demorl_actor_policy_lag_versions",
                                    "Newest policy version seen minus the one in use")),
        last_return(GetUnsetGauge(metrics, "demorl_actor_last_return",
                                  "Mean return of the last 10 finished training episodes")),
        spool_bytes(metrics.GetGauge("demorl_actor_spool_bytes", "Bytes in the spool")) {}

  Counter& steps;
  Counter& episodes;
  Counter& non_finite;
  Counter& policies_refused;
  Counter& waiting_s;
  Counter& spool_dropped_bytes;
  Counter& evaluations;
  AppliedMetrics policy_applied;
  Gauge& evaluation_return;
  Gauge& policy_version;
  Gauge& policy_lag;
  Gauge& last_return;
  Gauge& spool_bytes;
};

}  // namespace demorl
