"""What the chart's pods run, as processes on this machine: the rendered configuration is one that the services take, and with
the arguments of the pods they learn, are found healthy, and pass `helm test`."""

import json
import pathlib
import sys
import tempfile
import unittest

import certificates
import chart
from chart import ROOT, objects, render

sys.path.insert(0, str(ROOT / "tests/e2e"))
from layered_run import LayeredRun  # noqa: E402  (needs the path above)
from support import BIN, read_summary, read_table, wait_until  # noqa: E402

# A learner small enough for a test.
OWN = """
  sac { hidden_sizes: [64, 64] batch_size: 64 learning_starts: 300 updates_per_step: 5 publish_interval_updates: 50 }
  model { hidden_sizes: [64, 64] weight_decay: [0.00005, 0.00005, 0.0001] ensemble_size: 3 num_elite_members: 2 }
  planner { num_start_states: 100 population_size: 20 }
  actor { evaluation_interval_steps: 500 evaluation_episodes: 2 }
"""


def layers_of(items):
    return next(item["data"] for item in items if item["kind"] == "ConfigMap" and item["metadata"]["name"].endswith("-run"))


class PodsTest(unittest.TestCase):
    def test_the_services_take_every_case_and_preset(self):
        cases = {name: objects(chart.render_case(name)) for name in chart.CASES}
        for preset in sorted((ROOT / "deploy/config/presets/tasks").glob("*.textproto")):
            task, _, algorithm = preset.stem.partition(".")
            settings = [f'run.environment="{task}-v5"', f'run.algorithm="{algorithm or "mdemorl"}"']
            cases[preset.stem] = objects(render(settings=settings))
        for name, items in cases.items():
            with self.subTest(name), tempfile.TemporaryDirectory() as folder:
                for file, text in layers_of(items).items():
                    (pathlib.Path(folder) / file).write_text(text)
                # Takes the configuration, and then has nowhere to listen.
                done = chart.run(BIN / "demorl-replay", "--config", folder, "--override", "services.replay.listen_address=dns:///nowhere")
                self.assertIn("cannot listen on", done.stderr)

    def folder(self):
        """Deleted once the test's processes have ended."""
        return self.enterContext(tempfile.TemporaryDirectory())

    def run_pods(self, folder, items, tls=None):
        """Starts what the pods run, passes the release's test, and waits for the end of the run."""
        pods = {item["metadata"]["labels"]["app.kubernetes.io/component"]: item["spec"]["template"]["spec"]["containers"][0]["args"]
                for item in items if item["kind"] in ("Deployment", "StatefulSet")}
        test = next(item["spec"]["containers"][0]["args"] for item in items if item["kind"] == "Pod")
        run = LayeredRun(folder, layers_of(items), pods, tls)
        self.addCleanup(run.close)
        run.start_all()
        record = pathlib.Path(folder) / "evaluator/run"
        try:
            for name in pods:
                wait_until(lambda name=name: run.is_ready(name), f"{name} to be ready")
            done = chart.run(BIN / "demorl", *run.arguments("test", test))
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn("snapshot gave policy", done.stdout)
            wait_until(lambda: (record / "summary.json").exists() and read_summary(record)["finished"], "the end", timeout=400)
        except AssertionError as error:
            raise AssertionError(f"{error}{run.logs()}") from None
        self.assertGreaterEqual(len(read_table(record / "eval.csv")), 2)
        return run

    def test_the_pods_learn_and_pass_the_test(self):
        items = objects(render(settings=["run.environmentSteps=1500", f"run.config={json.dumps(OWN)}"]))
        run = self.run_pods(self.folder(), items)
        # Those that send before those that take.
        for name in ("evaluator", "actor", "mpc_rollout", "sac_learner", "model_trainer", "snapshot", "replay"):
            self.assertEqual(run.stop(name), 0, name)

    def test_the_roles_of_the_certificates_let_them_do_it_too(self):
        items = objects(render(settings=["run.environmentSteps=1000", f"run.config={json.dumps(OWN)}", 'tls.mode="certManager"']))
        folder = self.folder()
        tls = pathlib.Path(folder) / "tls"
        certificates.make_authority(tls / "authority")
        for item in items:
            if item["kind"] == "Certificate" and "uris" in item["spec"]:
                certificates.issue(tls / "authority", tls / item["metadata"]["labels"]["app.kubernetes.io/component"], item["spec"]["uris"][0])
        self.run_pods(folder, items, tls)


if __name__ == "__main__":
    unittest.main()
