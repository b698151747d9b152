#pragma once

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "common/metrics/metrics.h"
#include "common/metrics/unset_gauge.h"

namespace demorl {

// The instruments of `demorl follow`, by what they count.
struct EvaluatorMetrics {
  explicit EvaluatorMetrics(Metrics& metrics)
      : evaluations(metrics.GetCounter("demorl_evaluator_evaluations_total", "Evaluations recorded")),
        mean_return(
            GetUnsetGauge(metrics, "demorl_evaluator_mean_return", "Mean return of the last evaluation")),
        stddev_return(GetUnsetGauge(metrics, "demorl_evaluator_stddev_return",
                                    "Standard deviation of the returns of the last evaluation")),
        environment_steps(GetUnsetGauge(metrics, "demorl_evaluator_environment_steps",
                                        "Environment steps at which the last evaluation began")),
        policy_version(GetUnsetGauge(metrics, "demorl_evaluator_policy_version",
                                     "Version of the policy evaluated last")),
        complete(
            metrics.GetGauge("demorl_evaluator_run_complete", "1 once the run has its last evaluation")) {
    for (const char* service : {"replay", "snapshot", "sac_learner", "model_trainer", "mpc_rollout"}) {
      needed[service] =
          &metrics.GetGauge("demorl_evaluator_service_needed",
                            "1 for a service that the run's algorithm needs, 0 for one that it does without",
                            {{"service", service}});
    }
  }

  // `services` may name others, such as those that collect: a run goes on while they are away.
  void ShowNeeded(const std::vector<std::string>& services) {
    for (const auto& [service, gauge] : needed) {
      gauge->Set(std::count(services.begin(), services.end(), service));
    }
  }

  Counter& evaluations;
  Gauge& mean_return;
  Gauge& stddev_return;
  Gauge& environment_steps;
  Gauge& policy_version;
  Gauge& complete;
  std::map<std::string, Gauge*> needed;
};

}  // namespace demorl
