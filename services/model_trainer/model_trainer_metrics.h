#pragma once

#include "common/metrics/checkpoint_metrics.h"
#include "common/metrics/metrics.h"
#include "common/metrics/unset_gauge.h"

namespace demorl {

// The trainer's instruments.
struct ModelTrainerMetrics {
  explicit ModelTrainerMetrics(Metrics& metrics)
      : trainings(
            metrics.GetCounter("demorl_model_trainer_trainings_total", "Trainings of the ensemble done")),
        gradient_steps(metrics.GetCounter("demorl_model_trainer_gradient_steps_total", "Batches trained on")),
        non_finite(metrics.GetCounter("demorl_model_trainer_non_finite_total",
                                      "Trainings undone because a loss was not finite")),
        refused_chunks(metrics.GetCounter("demorl_model_trainer_refused_chunks_total",
                                          "Chunks of rows refused because of their shape")),
        publishes(metrics.GetCounter("demorl_model_trainer_publishes_total", "Dynamics snapshots published")),
        publish_failures(metrics.GetCounter("demorl_model_trainer_publish_failures_total",
                                            "Attempts to publish a snapshot that failed")),
        checkpoints(metrics, "model_trainer"),
        training_s(metrics.GetHistogram("demorl_model_trainer_training_seconds", "Duration of a training",
                                        {0.1, 0.3, 1, 3, 10, 30, 100, 300})),
        rows(metrics.GetGauge("demorl_model_trainer_rows", "Rows of D_ENV in the mirror")),
        training_loss(
            GetUnsetGauge(metrics, "demorl_model_trainer_training_loss",
                          "Negative log-likelihood per member, mean of the newest training's last pass")),
        holdout_error(GetUnsetGauge(metrics, "demorl_model_trainer_holdout_error",
                                    "Mean squared holdout error of the elites of the newest training")),
        dynamics_version(
            metrics.GetGauge("demorl_model_trainer_dynamics_version", "Newest dynamics version published")) {}

  Counter& trainings;
  Counter& gradient_steps;
  Counter& non_finite;
  Counter& refused_chunks;
  Counter& publishes;
  Counter& publish_failures;
  CheckpointMetrics checkpoints;
  Histogram& training_s;
  Gauge& rows;
  Gauge& training_loss;
  Gauge& holdout_error;
  Gauge& dynamics_version;
};

}  // namespace demorl
