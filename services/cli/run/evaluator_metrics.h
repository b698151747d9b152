#pragma once

#include "common/metrics/metrics.h"

namespace demorl {

// The instruments of `demorl follow`, by what they count.
struct EvaluatorMetrics {
  explicit EvaluatorMetrics(Metrics& metrics)
      : evaluations(metrics.GetCounter("demorl_evaluator_evaluations_total", "Evaluations recorded")),
        mean_return(metrics.GetGauge("demorl_evaluator_mean_return", "Mean return of the last evaluation")),
        stddev_return(metrics.GetGauge("demorl_evaluator_stddev_return",
                                       "Standard deviation of the returns of the last evaluation")),
        environment_steps(metrics.GetGauge("demorl_evaluator_environment_steps",
                                           "Environment steps at which the last evaluation began")),
        policy_version(
            metrics.GetGauge("demorl_evaluator_policy_version", "Version of the policy evaluated last")),
        complete(
            metrics.GetGauge("demorl_evaluator_run_complete", "1 once the run has its last evaluation")) {}

  Counter& evaluations;
  Gauge& mean_return;
  Gauge& stddev_return;
  Gauge& environment_steps;
  Gauge& policy_version;
  Gauge& complete;
};

}  // namespace demorl
