"""The scaling model: its arithmetic and its simulation agree, and both keep what the real system promises."""

import pathlib
import subprocess
import sys
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools" / "python"))

import scaling_model as model  # noqa: E402

COSTS = model.Costs()


class ScalingModelTest(unittest.TestCase):
    def test_arithmetic_and_simulation_agree_whatever_bounds(self):
        for robots in (True, False):
            for actors in (10, 100, 1000, 10000, 100000):
                deployment = model.Deployment(actors=actors, rate_hz=50, robots=robots)
                rows, bound = model.attainable_rows(deployment, COSTS)
                simulated = model.simulate(deployment, COSTS)["rows_per_s"]
                with self.subTest(robots=robots, actors=actors, bound=bound):
                    self.assertAlmostEqual(simulated / rows, 1, delta=0.02)

    def test_simulated_actors_gain_nothing_once_the_learner_is_the_bound(self):
        few = model.Deployment(actors=100, rate_hz=1000, robots=False)
        many = model.Deployment(actors=1000, rate_hz=1000, robots=False)
        self.assertEqual(model.attainable_rows(few, COSTS), model.attainable_rows(many, COSTS))
        self.assertEqual(model.attainable_rows(few, COSTS)[1], "learner")

    def test_robots_are_never_held_back_by_the_learner(self):
        deployment = model.Deployment(actors=1000)
        self.assertEqual(model.attainable_rows(deployment, COSTS), (20000, "actors"))

    def test_simulated_actors_stay_within_what_the_limiter_allows(self):
        deployment = model.Deployment(actors=1000, rate_hz=1000, robots=False, max_rows_ahead=500)
        self.assertLessEqual(model.simulate(deployment, COSTS)["rows_ahead"], 501)

    def test_replay_takes_the_cpu_that_was_measured(self):
        for chunk_rows, cores in ((1, 0.68), (10, 0.60)):
            deployment = model.Deployment(actors=1000, chunk_rows=chunk_rows)
            self.assertAlmostEqual(model.replay_cores_used(20000, deployment, COSTS), cores, delta=0.03)

    def test_no_row_is_lost_or_made_up(self):
        result = model.simulate(model.Deployment(actors=100000), COSTS)
        self.assertGreater(result["rows_waiting"], 0)
        self.assertLessEqual(result["inserted"], result["collected"])

    def test_a_planner_more_takes_its_share_of_the_demand(self):
        one = model.demands(model.Deployment(actors=10, planners=1), COSTS)["planner"]
        four = model.demands(model.Deployment(actors=10, planners=4), COSTS)["planner"]
        self.assertAlmostEqual(one, 4 * four)

    def test_the_tables_of_the_document_are_what_the_model_says(self):
        printed = subprocess.run(
            [sys.executable, str(ROOT / "tools" / "python" / "scaling_model.py")], capture_output=True, text=True, check=True
        ).stdout.strip()
        self.assertIn(printed, (ROOT / "docs" / "scaling.md").read_text(), "run tools/python/scaling_model.py again")


if __name__ == "__main__":
    unittest.main()
