#pragma once

#include <array>
#include <string>
#include <vector>

#include "common/metrics/applied_metrics.h"
#include "common/metrics/metrics.h"
#include "common/metrics/unset_gauge.h"
#include "common/robot/safety/robot_state.h"
#include "common/robot/safety/safety_envelope.h"

namespace demorl {

// A gateway's instruments; filled by its housekeeping and by the feed of policies, never by the control loop.
struct RobotGatewayMetrics {
  RobotGatewayMetrics(Metrics& metrics, const std::vector<std::string>& joint_names)
      : ticks(metrics.GetCounter("demorl_gateway_ticks_total", "Control ticks run")),
        missed_ticks(metrics.GetCounter("demorl_gateway_missed_ticks_total", "Control periods skipped")),
        wake_up_s(metrics.GetHistogram("demorl_gateway_wake_up_latency_seconds",
                                       "From a tick's schedule to its thread running", LatencyBounds())),
        compute_s(metrics.GetHistogram("demorl_gateway_tick_compute_seconds",
                                       "From waking up to the end of a tick's work", LatencyBounds())),
        policies_refused(metrics.GetCounter("demorl_gateway_policies_refused_total",
                                            "Policies for another robot or with non-finite weights")),
        policy_version(metrics.GetGauge("demorl_gateway_policy_version", "Version of the policy in use")),
        policy_applied(metrics, "demorl_gateway_policy", "policy"),
        last_return(
            GetUnsetGauge(metrics, "demorl_gateway_last_return", "Return of the last finished episode")),
        episodes(metrics.GetCounter("demorl_gateway_episodes_total", "Episodes finished")),
        spool_bytes(metrics.GetGauge("demorl_gateway_spool_bytes", "Bytes waiting for replay on disk")),
        dropped_records(metrics.GetCounter("demorl_gateway_dropped_records_total",
                                           "Ticks whose record found the ring full")) {
    for (int i = 0; i < kNumRobotStates; ++i) {
      states[i] = &metrics.GetGauge("demorl_gateway_state", "1 for the state that the robot is in",
                                    {{"state", std::string(Name(static_cast<RobotState>(i)))}});
    }
    for (int i = 0; i < kNumClamps; ++i) {
      clamps[i] =
          &metrics.GetCounter("demorl_gateway_clamps_total", "Joint commands changed by the safety envelope",
                              {{"reason", std::string(Name(static_cast<Clamp>(i)))}});
    }
    for (const std::string& name : joint_names) {
      joints.push_back(
          {.temperature =
               GetUnsetGauge(metrics, "demorl_gateway_joint_temperature_celsius",
                             "Of a joint's actuator, NaN where it does not tell", {{"joint", name}}),
           .voltage = GetUnsetGauge(metrics, "demorl_gateway_joint_supply_volts",
                                    "At a joint's actuator, NaN where it does not tell", {{"joint", name}}),
           .torque = GetUnsetGauge(metrics, "demorl_gateway_joint_torque_newton_meters",
                                   "Measured at a joint in the last tick", {{"joint", name}})});
    }
  }

  static std::vector<double> LatencyBounds() {
    return {5e-6, 10e-6, 20e-6, 50e-6, 100e-6, 200e-6, 500e-6, 1e-3, 2e-3, 5e-3, 10e-3, 50e-3};
  }

  struct Joint {
    Gauge& temperature;
    Gauge& voltage;
    Gauge& torque;
  };

  Counter& ticks;
  Counter& missed_ticks;
  Histogram& wake_up_s;
  Histogram& compute_s;
  Counter& policies_refused;
  Gauge& policy_version;
  AppliedMetrics policy_applied;
  Gauge& last_return;
  Counter& episodes;
  Gauge& spool_bytes;
  Counter& dropped_records;
  std::array<Gauge*, kNumRobotStates> states{};
  std::array<Counter*, kNumClamps> clamps{};
  // In joint order.
  std::vector<Joint> joints;
};

}  // namespace demorl
