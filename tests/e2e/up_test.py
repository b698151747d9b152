"""`demorl up`: the services as processes; killing each of them only delays the run."""

import os
import signal
import threading
import unittest

import support
from support import SMALL, RunTest, read_summary, read_table, service_pids, wait_until

SERVICES = ["replay", "snapshot", "sac_learner", "model_trainer", "mpc_rollout", "actor"]


class UpTest(RunTest):
    def test_reaches_the_end_although_every_service_is_killed_once(self):
        run = self.folder / "run"
        process = self.start("up", *SMALL, "--algorithm", "mdemorl", "--steps", "3000", "--out", run)
        pids = service_pids(process, SERVICES)
        output = []
        reader = threading.Thread(target=lambda: output.extend(process.stdout), daemon=True)
        reader.start()

        def steps():
            rows = read_table(run / "eval.csv")
            return int(rows[-1]["environment_steps"]) if rows else 0

        wait_until(lambda: steps() >= 500, "the first evaluation")
        table = self.must("status", "--run", run, "--once")
        for service in SERVICES:
            self.assertIn(service, table)
        for service in SERVICES:
            os.kill(pids[service], signal.SIGKILL)
            wait_until(lambda: f"{service} was ended by signal 9" in "".join(output), f"{service} to be noticed")
        wait_until(lambda: steps() >= 1500, "evaluations after the kills", timeout=240)
        self.assertIn("every accepted row is present once", self.must("replay", "audit", "--run", run))

        self.assertEqual(process.wait(240), 0, "".join(output))
        reader.join()
        summary = read_summary(run)
        self.assertTrue(summary["finished"])
        self.assertGreaterEqual(summary["environment_steps"], 3000)
        self.assertGreater(max(float(row["mean_return"]) for row in read_table(run / "eval.csv")), 60)


if __name__ == "__main__":
    unittest.main()
