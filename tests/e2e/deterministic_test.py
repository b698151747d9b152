"""`demorl train --deterministic`: the same seed gives the same curve and weights, bit by bit."""

import unittest

import support
from support import SMALL, RunTest, read_table, wait_until

WALL_CLOCK = {"wall_s", "updates_per_second"}


class DeterministicTest(RunTest):
    def command(self, name, seed="1"):
        return ["train", *SMALL, "--algorithm", "mdemorl", "--steps", "900", "--deterministic", "--seed", seed,
                "--set", "checkpoint_interval_steps=200", "--out", self.folder / name]

    def curve(self, name):
        return [{key: value for key, value in row.items() if key not in WALL_CLOCK}
                for table in ("progress.csv", "eval.csv") for row in read_table(self.folder / name / table)]

    def weights(self, name):
        policies = sorted((self.folder / name / "snapshots" / "policy").glob("*.safetensors"))
        return policies[-1].name, policies[-1].read_bytes()

    def test_same_seed_is_equal_another_differs_and_a_killed_run_equals_the_whole_one(self):
        self.must(*self.command("whole"))
        self.must(*self.command("again"))
        self.assertEqual(self.curve("whole"), self.curve("again"))
        self.assertEqual(self.weights("whole"), self.weights("again"))

        process = self.start(*self.command("killed"))
        wait_until(lambda: (self.folder / "killed" / "checkpoints" / "0000000600").exists(), "a checkpoint")
        process.kill()
        process.wait()
        self.must(*self.command("killed"))
        self.assertEqual(self.curve("whole"), self.curve("killed"))
        self.assertEqual(self.weights("whole"), self.weights("killed"))

        self.must(*self.command("other", seed="2"))
        self.assertNotEqual(self.curve("whole"), self.curve("other"))
        self.assertNotEqual(self.weights("whole")[1], self.weights("other")[1])


if __name__ == "__main__":
    unittest.main()
