#pragma once

#include "common/metrics/applied_metrics.h"
#include "common/metrics/metrics.h"
#include "common/metrics/unset_gauge.h"

namespace demorl {

// The instruments of this service, by what they count.
struct MpcRolloutMetrics {
  explicit MpcRolloutMetrics(Metrics& metrics)
      : rounds(metrics.GetCounter("demorl_mpc_rollout_rounds_total",
                                  "Rounds, or shares of rounds, whose rows were appended")),
        rows(metrics.GetCounter("demorl_mpc_rollout_rows_total", "Rows appended to D_MPC")),
        skipped_starts(metrics.GetCounter("demorl_mpc_rollout_skipped_starts_total",
                                          "Start states whose plan or rows were not finite")),
        failed_rounds(metrics.GetCounter("demorl_mpc_rollout_failed_rounds_total",
                                         "Planning rounds without a single finite plan, or that failed")),
        refused_snapshots(metrics.GetCounter("demorl_mpc_rollout_refused_snapshots_total",
                                             "Snapshots of other shapes, not finite, or of another schema")),
        horizon_steps(
            GetUnsetGauge(metrics, "demorl_mpc_rollout_horizon_steps", "Planning horizon of the last round")),
        base_return(GetUnsetGauge(metrics, "demorl_mpc_rollout_base_return",
                                  "Mean predicted return of the last round's plans before improvement")),
        plan_return(GetUnsetGauge(metrics, "demorl_mpc_rollout_plan_return",
                                  "Mean predicted return of the last round's plans")),
        dynamics_version(metrics.GetGauge("demorl_mpc_rollout_dynamics_version",
                                          "Version of the dynamics snapshot in use")),
        dynamics_applied(metrics, "demorl_mpc_rollout_dynamics", "dynamics"),
        round_seconds(metrics.GetHistogram("demorl_mpc_rollout_round_seconds", "Duration of a planning round",
                                           {0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30})),
        plans(metrics.GetCounter("demorl_mpc_rollout_plans_total", "Online plans answered")),
        fallbacks(metrics.GetCounter("demorl_mpc_rollout_fallbacks_total",
                                     "Online plans answered with the policy's action")),
        plan_seconds(metrics.GetHistogram("demorl_mpc_rollout_plan_seconds", "Duration of an online plan",
                                          {0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5})) {}

  Counter& rounds;
  Counter& rows;
  Counter& skipped_starts;
  Counter& failed_rounds;
  Counter& refused_snapshots;
  Gauge& horizon_steps;
  Gauge& base_return;
  Gauge& plan_return;
  Gauge& dynamics_version;
  AppliedMetrics dynamics_applied;
  Histogram& round_seconds;
  Counter& plans;
  Counter& fallbacks;
  Histogram& plan_seconds;
};

}  // namespace demorl
