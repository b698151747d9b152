"""`demorl train`: learns, writes the run folder, stops cleanly, and resumes also after kill -9."""

import signal
import unittest

import support
from support import SMALL, RunTest, read_summary, read_table, wait_until


class TrainTest(RunTest):
    def test_learns_through_all_services_and_resumes_after_a_stop_and_a_kill(self):
        run = self.folder / "run"
        command = ["train", *SMALL, "--algorithm", "mdemorl", "--steps", "2500", "--out", run]

        process = self.start(*command)
        wait_until(lambda: len(read_table(run / "eval.csv")) >= 1, "the first evaluation")
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(60), 130)
        stopped_at = read_summary(run)["environment_steps"]
        self.assertFalse((run / "services.textproto").exists())

        process = self.start(*command)
        wait_until(lambda: len(read_table(run / "eval.csv")) >= 2, "an evaluation after the resume")
        process.kill()
        process.wait()

        self.must(*command)
        summary = read_summary(run)
        self.assertTrue(summary["finished"])
        self.assertGreaterEqual(summary["environment_steps"], 2500)
        self.assertGreater(summary["environment_steps"], stopped_at)
        self.assertGreater(summary["model_trainings"], 0)
        self.assertGreater(summary["planned_rows"], 0)
        self.assertEqual(summary["environment"], "InvertedPendulum-v5")
        for name in ["config.textproto", "progress.csv", "eval.csv", "curve.png", "replay", "snapshots"]:
            self.assertTrue((run / name).exists(), name)
        # A random policy holds the pole for about 5 steps; what has learned holds it far longer.
        best = max(float(row["mean_return"]) for row in read_table(run / "eval.csv"))
        self.assertGreater(best, 60)

        # What is finished is not done again, and another configuration is refused without harm.
        before = (run / "eval.csv").read_bytes()
        self.must(*command)
        refused = self.run_demorl(*command, "--set", "sac.batch_size=32")
        self.assertEqual(refused.returncode, 1)
        self.assertIn("sac.batch_size", refused.stderr)
        self.assertEqual((run / "eval.csv").read_bytes(), before)

        # The policy of a run can be looked at.
        self.assertIn("mean return", self.must("eval", "--run", run, "--episodes", "3"))

    def test_compares_algorithms_in_a_table_and_a_picture(self):
        root = self.folder / "compare"
        command = ["compare", *SMALL, "--algorithms", "mbpo,sac", "--seeds", "2", "--steps", "400", "--out", root]
        table = [line.split() for line in self.must(*command).splitlines()]
        for algorithm in ["mbpo", "sac"]:
            finals = [float(read_table(root / f"{algorithm}-seed{seed}" / "eval.csv")[-1]["mean_return"])
                      for seed in range(2)]
            row = next(cells for cells in table if cells and cells[0] == algorithm and cells[1] == "2")
            self.assertAlmostEqual(float(row[2]), sum(finals) / 2, delta=0.06)
            self.assertAlmostEqual(float(row[4]), min(finals), delta=0.06)
        self.assertGreater((root / "compare.png").stat().st_size, 5000)
        self.assertIn("sac", (root / "compare.svg").read_text())

    def test_a_planner_acts_on_the_true_simulator_without_learner_and_model(self):
        run = self.folder / "run"
        command = ["train", "--env", "InvertedPendulum-v5", "--algorithm", "dmd_mpc", "--steps", "300", "--out", run,
                   "--set", "sac.learning_starts=50", "--set", "planner.population_size=40",
                   "--set", "actor.evaluation_episodes=3"]
        self.must(*command)
        summary = read_summary(run)
        self.assertTrue(summary["finished"])
        self.assertEqual(summary["updates"], 0)
        self.assertFalse((run / "sac_learner").exists() or (run / "model_trainer").exists())
        # A random policy holds the pole for about 5 steps.
        self.assertGreater(float(read_table(run / "eval.csv")[-1]["mean_return"]), 60)

    def test_a_planner_acts_on_a_model_that_is_learned_meanwhile(self):
        run = self.folder / "run"
        told = self.must("train", *SMALL, "--algorithm", "pets", "--steps", "600", "--out", run,
                  "--set", "planner.population_size=50", "--set", "planner.num_particles=3",
                  "--set", "planner.horizon={start_value: 12 end_value: 12}", "--set", "planner.num_iterations=2",
                  "--set", "actor.evaluation_episodes=2", "--set", "actor.evaluation_interval_steps=200")
        self.assertNotIn("evaluation failed", told)  # none is due before the planner plans
        summary = read_summary(run)
        self.assertTrue(summary["finished"])
        self.assertGreater(summary["model_trainings"], 0)
        self.assertEqual(summary["planned_rows"], 0)
        self.assertFalse((run / "sac_learner").exists())
        self.assertGreater(float(read_table(run / "eval.csv")[-1]["mean_return"]), 8)

    def test_an_environment_that_is_not_native_runs_in_the_python_actor(self):
        run = self.folder / "run"
        self.must("train", "--env", "Pendulum-v1", "--algorithm", "mdemorl", "--steps", "1000", "--out", run,
                  *[argument for argument in SMALL if argument not in ("--env", "InvertedPendulum-v5")])
        summary = read_summary(run)
        self.assertTrue(summary["finished"])
        self.assertGreater(summary["planned_rows"], 0)
        self.assertEqual(read_table(run / "eval.csv")[-1]["mean_length"], "200")


if __name__ == "__main__":
    unittest.main()
