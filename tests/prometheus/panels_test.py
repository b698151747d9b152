"""Real runs, scraped by a real Prometheus: the query of every panel returns data, or is listed here with its reason.

One run learns in simulation, the other on an emulated leg behind its gateway. Takes about two minutes; needs the programs
(DEMORL_BIN) and Debian's prometheus. Run by tools/check-deploy.
"""

import subprocess
import sys
import time
import unittest

import monitoring
from scraped_run import SIMULATED, Prometheus, ScrapedRunTest, metrics_of
from support import SMALL

SECONDS = 30
PATIENCE_S = 180

# Queries (dashboard, panel, refId) that return nothing here: why.
FAULT = "only after a fault"
PLANS = "only where an actor or a robot acts by plans"
TLS = "only where services speak TLS"
WITHOUT_DATA = {
    ("plumbing", "Errors by method", "A"): FAULT,
    ("plumbing", "Errors by method, at the client", "A"): FAULT,
    ("plumbing", "Duration of an online plan", "A"): PLANS,
    ("plumbing", "Duration of an online plan", "B"): PLANS,
    ("plumbing", "Calls refused", "A"): TLS,
    ("plumbing", "Time until a certificate expires", "A"): TLS,
}
ONLY_OVER_TLS = {"demorl_rpc_refused_total", "demorl_rpc_certificate_not_before_timestamp_seconds",
                 "demorl_rpc_certificate_not_after_timestamp_seconds"}
# Told of a machine that is too busy for a control loop, or of a leg that moves at random; not of our system.
ALERTS_OF_THE_MACHINE = {"DemorlGatewayMissesTicks", "DemorlGatewayFault", "DemorlGatewayDropsRecords"}


def with_values(expression):
    """The query as Grafana sends it, with All chosen for each variable."""
    for variable, value in (("$__rate_interval", "15s"), ("$run", ".+"), ("$job", ".+"), ("$instance", ".+")):
        expression = expression.replace(variable, value)
    return expression


class PanelsTest(ScrapedRunTest):
    def test_every_panel_has_data_or_a_reason(self):
        targets = self.start_up("simulated", SIMULATED, *SMALL, "--algorithm", "mdemorl",
                                "--set", f"tracing.directory={self.folder / 'traces'}")
        targets += self.start_evaluator("simulated") + self.start_robot()
        self.prometheus = Prometheus(self.folder, targets)
        for sign in ("demorl_mpc_rollout_rounds_total > 0", "demorl_actor_last_return",
                     "demorl_gateway_episodes_total > 0", "demorl_gateway_policy_version > 0"):
            self.wait_for(sign)
        time.sleep(SECONDS)  # what is measured is a span of time
        self.check_panels()
        self.check_curves()
        self.check_names()
        for _, service, address in targets:
            judged = subprocess.run(["promtool", "check", "metrics"], input=metrics_of(address), capture_output=True, text=True, check=False)
            self.assertEqual((judged.returncode, judged.stderr), (0, ""), service)
        self.assertEqual(self.prometheus.firing() - ALERTS_OF_THE_MACHINE, set())

    def check_names(self):
        """docs/metrics.md names what is exported, with its labels, and nothing else."""
        found = {}
        for sample in self.prometheus.query('{run!="", __name__!~"up|scrape_.*|ALERTS.*|.*:.*"}'):
            labels = set(sample["metric"])
            found.setdefault(sample["metric"]["__name__"], set()).update(labels - monitoring.TARGET_LABELS - {"__name__"})
        documented = monitoring.exported_metrics()
        self.assertEqual(found, {name: documented[name] for name in set(documented) - ONLY_OVER_TLS})

    def check_curves(self):
        """What is drawn over another quantity has rows in common with it: by nothing but time and run, for both runs."""
        for dashboard in monitoring.load_dashboards().values():
            for panel in (panel for panel in monitoring.panels(dashboard) if panel["type"] == "xychart"):
                runs_of = []
                for target in panel["targets"]:
                    found = self.prometheus.query_range(with_values(target["expr"]), SECONDS, step=5)
                    self.assertTrue(all(set(series["metric"]) == {"run"} for series in found), target["refId"])
                    runs_of.append({series["metric"]["run"]: {time for time, _ in series["values"]} for series in found})
                x, *curves = runs_of
                self.assertEqual({run for curve in curves for run in curve}, {"simulated", "robot"}, panel["title"])
                for run, times in ((run, times) for curve in curves for run, times in curve.items()):
                    self.assertGreater(len(times & x[run]), 2, f"{panel['title']}: {run}")

    def check_panels(self):
        """Each query within a while: some of what they show is rare, above all on a busy machine."""
        queries = {(name, panel["title"], target["refId"]): with_values(target["expr"])
                   for name, dashboard in monitoring.load_dashboards().items()
                   for panel in monitoring.panels(dashboard) for target in panel["targets"]}
        empty = set(queries)
        deadline = time.monotonic() + PATIENCE_S
        while True:
            empty = {key for key in empty if not self.prometheus.has(queries[key])}
            if empty <= set(WITHOUT_DATA) or time.monotonic() > deadline:
                break
            time.sleep(1)
        unexpected = sorted(empty - set(WITHOUT_DATA))
        self.assertEqual(unexpected, [], f"{len(unexpected)} queries returned nothing within {PATIENCE_S} s")
        stale = sorted(key for key, reason in WITHOUT_DATA.items() if reason != FAULT and key not in empty)
        self.assertEqual(stale, [], "these return data; take them off the list")
        print(f"{len(queries)} queries: {len(queries) - len(empty)} returned data, {len(empty)} are listed with their reasons",
              file=sys.stderr)


if __name__ == "__main__":
    unittest.main()
