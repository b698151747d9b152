"""`demorl certs issue --run`: all that a run needs to speak mutual TLS, and what is said to those who ask for it wrongly."""

import os
import signal
import subprocess
import unittest

from support import BIN, SMALL, RunTest, wait_until

SERVICES = ["replay", "snapshot", "sac_learner", "actor"]


class CertsTest(RunTest):

    def setUp(self):
        super().setUp()
        self.authority = self.folder / "authority"
        self.config = self.write('security { tls_dir: "%s/tls/${SERVICE}" }' % self.folder)

    def write(self, security):
        config = self.folder / "own.textproto"
        config.write_text(f'environment: "InvertedPendulum-v5"\nalgorithm: "sac"\n{security}\n')
        return config

    def issue(self, *arguments):
        return ["certs", "issue", "--dir", self.authority, *arguments]

    def refused(self, *arguments, says):
        done = self.run_demorl(*self.issue(*arguments), timeout=60)
        self.assertEqual(done.returncode, 1, arguments)
        for part in says:
            self.assertIn(part, done.stderr, arguments)
        self.assertEqual(len(done.stderr.strip().splitlines()), 1, done.stderr)

    def status(self, run, peer):
        return subprocess.run([BIN / "demorl", "status", "--run", run, "--once"], check=True, capture_output=True, text=True,
                              env={**os.environ, "DEMORL_TLS_DIR": str(self.folder / "tls" / peer)}).stdout

    def test_a_run_speaks_tls_with_what_one_call_issues(self):
        issued = self.must(*self.issue("--run", self.config, "--init"))
        self.assertEqual(issued.count("issued now: there was none"), len(SERVICES) + 2, issued)
        run = self.folder / "run"
        process = self.start("up", *SMALL, "--config", self.config, "--out", run)
        wait_until(lambda: (run / "services.textproto").exists(), "the services to start")
        wait_until(lambda: self.status(run, "operator").count(" running ") == len(SERVICES), "all services to answer an operator")
        self.assertEqual(self.status(run, "actor").count("actor may not call"), len(SERVICES))
        again = self.must(*self.issue("--run", run))
        self.assertEqual(again.count("as it was"), len(SERVICES) + 2, again)
        process.send_signal(signal.SIGINT)
        process.wait(60)

    def test_names_what_was_asked_and_what_is_allowed(self):
        self.refused("--run", self.config, says=[str(self.authority), "certs init"])
        self.refused(says=["neither a peer nor --run", "want"])
        self.refused("actor", "--run", self.config, says=["both a peer and --run", "want"])
        self.refused("actor", "--init", says=["--init", "--run"])
        self.refused("--run", self.folder / "nowhere", says=["nowhere"])
        self.refused("--run", self.folder / "own.textproto", "--init", "--days", "0", says=["--days 0", "1 to"])
        self.refused("--run", self.config, "--dns", "a b", says=["a b"])
        self.refused("--run", self.config, "--ip", "1.2.3", says=["1.2.3"])
        self.refused("--run", self.write('security { tls_dir: "/etc/tls" }'), says=['"/etc/tls"', "${SERVICE}", "--out"])
        self.refused("--run", self.write('services { replay { address: "replay" } }'), "--out", self.folder / "tls",
                     says=["services.replay.address", '"replay"', "host:port"])
        self.refused("--run", self.write('security { trust_domain: "elsewhere" }'), "--out", self.folder / "tls",
                     says=['"demorl.local"', '"elsewhere"'])
        self.assertFalse((self.folder / "tls").exists())


if __name__ == "__main__":
    unittest.main()
