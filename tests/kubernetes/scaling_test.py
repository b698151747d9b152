"""The queries of the autoscalers: valid PromQL of metrics that exist, whose values are what values.yaml says of them."""

import json
import pathlib
import re
import subprocess
import tempfile
import unittest

from chart import ROOT, objects, render

RUN = '{run="robots-walk"%s}'
# Samples each 15 s for 10 minutes.
SAMPLES = 40


def queries():
    settings = ['mpcRollout.autoscaling.kind="keda"', 'actor.autoscaling.kind="keda"', "actor.autoscaling.keda.targetErrorUpdates=100"]
    return {item["metadata"]["name"].removeprefix("walk-demorl-"): item["spec"]["triggers"][0]["metadata"]["query"]
            for item in objects(render(settings=settings)) if item["kind"] == "ScaledObject"}


def queued(values):
    return {"demorl_replay_planning_rounds_queued" + RUN % ',table="mpc"': values}


def error(value):
    return {"demorl_replay_limiter_error_updates" + RUN % ',table="env"': f"{value}+0x{SAMPLES}"}


class ScalingTest(unittest.TestCase):
    def evaluate(self, query, series, value):
        with tempfile.TemporaryDirectory() as folder:
            test = {"evaluation_interval": "15s", "tests": [{
                "interval": "15s", "input_series": [{"series": name, "values": values} for name, values in series.items()],
                "promql_expr_test": [{"expr": f"round({query}, 0.01)", "eval_time": "10m", "exp_samples": [{"labels": "{}", "value": value}]}]}]}
            file = pathlib.Path(folder) / "test.json"
            file.write_text(json.dumps(test))
            done = subprocess.run(["promtool", "test", "rules", str(file)], capture_output=True, text=True, check=False)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_planners_become_fewer_where_they_idle(self):
        self.evaluate(queries()["mpc-rollout"], queued("0 1 " * 20), 0.5)

    def test_planners_stay_where_a_round_is_always_under_way(self):
        self.evaluate(queries()["mpc-rollout"], queued(f"1+0x{SAMPLES}"), 1)

    def test_planners_become_more_where_rounds_queue(self):
        self.evaluate(queries()["mpc-rollout"], queued(f"3+0x{SAMPLES}"), 3)

    def test_actors_stay_where_the_error_is_what_is_aimed_at(self):
        self.evaluate(queries()["actor"], error(100), 1)

    def test_actors_become_more_where_the_learner_waits(self):
        self.evaluate(queries()["actor"], error(0), 2)

    def test_actors_become_fewer_where_rows_pile_up(self):
        self.evaluate(queries()["actor"], error(1000), 0.5)

    def test_they_ask_for_metrics_that_exist(self):
        known = set(re.findall(r"demorl_\w+", (ROOT / "docs/metrics.md").read_text()))
        for name, query in queries().items():
            with self.subTest(name):
                asked = set(re.findall(r"demorl_\w+", query))
                self.assertTrue(asked)
                self.assertLessEqual(asked, known)


if __name__ == "__main__":
    unittest.main()
