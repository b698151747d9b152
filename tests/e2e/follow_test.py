"""`demorl follow` and `demorl check-run` on services that others have started, from one folder of configuration layers."""

import unittest
import urllib.request

from layered_run import LayeredRun
from support import RunTest, read_summary, read_table, wait_until

LAYERS = {
    "10-algorithm.textproto": "model_based: false\n",
    "50-run.textproto": 'run_id: "robots-walk" environment: "InvertedPendulum-v5" algorithm: "sac" environment_steps: 1500\n',
    "60-own.textproto": """
        sac { hidden_sizes: [64, 64] batch_size: 64 learning_starts: 300 updates_per_step: 5 learning_rate: 0.001
              publish_interval_updates: 50 }
        actor { evaluation_interval_steps: 500 evaluation_episodes: 2 }
    """,
}
SERVICE = ["--config=/etc/demorl/run"]
COMMANDS = {
    "replay": SERVICE, "snapshot": SERVICE, "sac_learner": SERVICE, "actor": SERVICE,
    "evaluator": ["follow", "--config=/etc/demorl/run", "--out=/data/run", "--stay", "--health-address=0.0.0.0:50052",
                  "--metrics-address=0.0.0.0:9464"],
}


class FollowTest(RunTest):
    def setUp(self):
        super().setUp()
        self.run_of_services = LayeredRun(self.folder, LAYERS, COMMANDS)
        self.addCleanup(self.run_of_services.close)

    def metric(self, name):
        address = self.run_of_services.addresses["evaluator"]["metrics_address"]
        text = urllib.request.urlopen(f"http://{address}/metrics", timeout=10).read().decode()
        return next(float(line.split()[-1]) for line in text.splitlines() if line.startswith(name + " "))

    def wait_until(self, condition, what):
        try:
            wait_until(condition, what, timeout=240)
        except AssertionError as error:
            raise AssertionError(f"{error}{self.run_of_services.logs()}") from None

    def test_records_a_run_that_others_started_and_goes_on_after_a_restart(self):
        run = self.run_of_services
        record = self.folder / "evaluator/run"
        run.start_all()
        self.wait_until(lambda: run.is_ready("evaluator"), "the evaluator to be ready")
        done = self.run_demorl("check-run", "--config", run.layers, "--timeout", "120")
        self.assertEqual(done.returncode, 0, f"{done.stderr}{run.logs()}")
        checked = done.stdout
        self.assertRegex(checked, r"ok  replay took 64 rows\nok  replay gave a batch of 16 of them\nok  snapshot gave policy \d+")
        self.wait_until(lambda: len(read_table(record / "eval.csv")) >= 1, "the first evaluation")
        self.assertEqual(run.stop("evaluator"), 0)
        before = read_table(record / "eval.csv")
        run.start("evaluator")
        self.wait_until(lambda: (record / "summary.json").exists() and read_summary(record)["finished"], "the end of the run")
        after = read_table(record / "eval.csv")
        self.assertEqual(after[:len(before)], before)
        self.assertGreaterEqual(int(after[-1]["environment_steps"]), 1500)
        self.assertEqual(self.metric("demorl_evaluator_mean_return"), float(after[-1]["mean_return"]))
        self.wait_until(lambda: self.metric("demorl_evaluator_run_complete") == 1, "the metric of the end")
        needed = {service: self.metric(f'demorl_evaluator_service_needed{{service="{service}"}}')
                  for service in ("replay", "sac_learner", "mpc_rollout")}
        self.assertEqual(needed, {"replay": 1, "sac_learner": 1, "mpc_rollout": 0})
        self.assertIsNone(run.processes["evaluator"].poll(), "it was told to stay")
        self.assertIn("replay", self.must("status", "--run", record, "--once"))
        self.assertEqual(run.stop("evaluator"), 0)

    def test_another_run_in_the_folder_is_refused(self):
        run = self.run_of_services
        record = self.folder / "record"
        record.mkdir()
        (record / "config.textproto").write_text('run_id: "another"\n')
        done = self.run_demorl("follow", "--config", run.layers, "--out", record)
        self.assertEqual(done.returncode, 1)
        self.assertIn("holds run 'another'; asked is run 'robots-walk'", done.stderr)

    def test_check_run_says_what_is_missing(self):
        done = self.run_demorl("check-run")
        self.assertIn("want either --run, a run folder, or --config", done.stderr)
        done = self.run_demorl("check-run", "--config", self.run_of_services.layers, "--timeout", "1")
        self.assertEqual(done.returncode, 1)
        self.assertIn("ask replay", done.stderr)

    def test_check_run_needs_its_table(self):
        run = self.run_of_services
        whole = self.folder / "whole.textproto"
        whole.write_text('run_id: "robots-walk" replay { tables { name: "env" } } ' + (run.layers / "90-local.textproto").read_text())
        run.commands["replay"] = ["--config", str(whole)]
        run.start("replay")
        self.wait_until(lambda: run.is_ready("replay"), "replay to be ready")
        done = self.run_demorl("check-run", "--config", run.layers, "--timeout", "10")
        self.assertIn("replay has no table 'check' to try on; want a run whose services read a folder", done.stderr)


if __name__ == "__main__":
    unittest.main()
