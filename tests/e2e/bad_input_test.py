"""Bad input: one clear line on standard error, an exit status that is not 0, and nothing destroyed."""

import os
import unittest

import support
from support import RunTest


class BadInputTest(RunTest):
    def refused(self, *arguments, says):
        done = self.run_demorl(*arguments, timeout=60)
        self.assertNotEqual(done.returncode, 0, arguments)
        for part in says:
            self.assertIn(part, done.stderr, arguments)
        self.assertEqual(len(done.stderr.strip().splitlines()), 1, done.stderr)

    def train(self, *arguments):
        return ["train", "--out", self.folder / "run", *arguments]

    def test_names_what_was_asked_and_what_is_allowed(self):
        pendulum = ["--env", "InvertedPendulum-v5"]
        self.refused(*self.train("--env", "InvertedPendulun-v5"), says=["InvertedPendulun-v5", "InvertedPendulum-v5"])
        self.refused(*self.train(), says=["--env"])
        self.refused(*self.train(*pendulum, "--algorithm", "mdemrol"), says=["mdemrol", "mdemorl"])
        self.refused(*self.train(*pendulum, "--set", "sac.batchsize=3"), says=["sac.batchsize", "batch_size"])
        self.refused(*self.train(*pendulum, "--set", "sac.batch_size=many"), says=["sac.batch_size", "many"])
        self.refused(*self.train(*pendulum, "--set", "sac.discount=2"), says=["sac.discount", "2", "1"])
        self.refused(*self.train("--config", self.folder / "none.textproto"), says=["none.textproto"])
        self.refused("eval", "--run", self.folder / "nowhere", says=["nowhere", "config.textproto"])
        self.refused(*self.train(*pendulum, "--algorithm", "pets", "--deterministic"), says=["pets", "--deterministic"])
        self.refused("compare", "--env", "Pendulum-v1", "--algorithms", "sac,pets", "--out", self.folder / "run",
                     says=["pets", "Pendulum-v1"])
        self.refused("status", "--run", self.folder / "nowhere", says=["nowhere"])
        self.assertFalse((self.folder / "run").exists())

    def test_names_the_commands_that_there_are(self):
        self.refused("trian", says=["trian", "train", "status"])
        self.refused(says=["no command", "train"])
        self.refused("certs", "isue", "replay", says=["demorl certs", "isue", "issue"])
        self.refused("train", "--stepz", "3", says=["demorl train", "--stepz", "--help"])

    def test_names_file_and_line_of_a_bad_configuration(self):
        config = self.folder / "bad.textproto"
        config.write_text('environment: "Hopper-v5"\nsac { batch_sise: 3 }\n')
        self.refused(*self.train("--config", config), says=["bad.textproto:2", "batch_sise"])

    def test_leaves_a_foreign_folder_alone(self):
        foreign = self.folder / "foreign"
        foreign.mkdir()
        (foreign / "thesis.tex").write_text("precious")
        self.refused("train", "--env", "InvertedPendulum-v5", "--out", foreign, says=["foreign", "not empty"])
        self.assertEqual(os.listdir(foreign), ["thesis.tex"])

    def test_says_that_a_folder_cannot_be_written(self):
        self.refused("train", "--env", "InvertedPendulum-v5", "--out", "/proc/run", says=["/proc/run"])

    def test_damaged_policy_is_refused(self):
        policy = self.folder / "policy.safetensors"
        policy.write_bytes(b"\x10\0\0\0\0\0\0\0{not json at all}")
        self.refused("eval", "--policy", policy, "--env", "Hopper-v5", says=["policy"])


if __name__ == "__main__":
    unittest.main()
