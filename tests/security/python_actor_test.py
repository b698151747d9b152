"""The Python actor over TLS, at replay and snapshot services of ours, and those who may call it.

Run by tools/check-deploy. DEMORL_BIN: folder of demorl-replay and demorl-snapshot; DEMORL_GO_TOOLS: of bin/grpcurl.
"""

import hashlib
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools" / "python"))

import grpc
from demorl import security
from foreign_clients_test import BIN, GO, Authority, run

ROOT = pathlib.Path(__file__).resolve().parents[2]
EVALUATE = "/demorl.evaluation.v1.EvaluationService/Evaluate"
TIMEOUT_S = 60


class Service:
    """A process of ours over TLS; `address` once it listens."""

    def __init__(self, folder, name, tls, accepted):
        config = folder / f"{name}.textproto"
        config.write_text(f'run_id: "run"\nreplay {{ tables {{ name: "env" }} tables {{ name: "mpc" }} }}\nsecurity {{ tls_dir: "{tls}" accepted_tokens_file: "{accepted}" }}\n'
                          f'services {{ {name} {{ data_dir: "{folder / name}" }} }}\n')
        self.log = folder / f"{name}.log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen([BIN / f"demorl-{name}", "--config", config, "--port", "0"], stderr=log)
        while not (port := re.search(r"listening on .*\(port (\d+)\)", self.log.read_text())):
            assert self.process.poll() is None, self.log.read_text()
        self.address = f"127.0.0.1:{port[1]}"

    def stop(self):
        self.process.terminate()
        assert self.process.wait() == 0, self.log.read_text()


class PythonActorTest(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.folder = pathlib.Path(temporary.name)
        self.authority = Authority(self.folder / "authority")
        self.tls = {role: self.authority.issue(role) for role in ("replay", "snapshot", "actor", "evaluator", "viewer")}
        self.token = self.folder / "token"
        self.token.write_text("0123456789abcdef\n")
        accepted = self.folder / "accepted"
        accepted.write_text(f"actor/lab {hashlib.sha256(b'0123456789abcdef').hexdigest()}\n")
        self.services = {name: Service(self.folder, name, self.tls[name], accepted) for name in ("replay", "snapshot")}
        for service in self.services.values():
            self.addCleanup(service.stop)

    def start(self, *arguments, **variables):
        """The actor; `evaluates_at` once it listens."""
        self.log = self.folder / "actor.log"
        python_path = os.pathsep.join([str(ROOT / "tools" / "python"), os.environ.get("PYTHONPATH", "")])
        with self.log.open("w") as log:
            process = subprocess.Popen(
                [sys.executable, "-B", "-m", "demorl.actor", "--environment", "Pendulum-v1", "--run-id", "run",
                 "--replay", self.services["replay"].address, "--snapshot", self.services["snapshot"].address,
                 "--steps", "60", *map(str, arguments)],
                stdout=subprocess.PIPE, stderr=log, text=True,
                env={**os.environ, "PYTHONPATH": python_path, **{name: str(value) for name, value in variables.items()}})
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        line = process.stdout.readline()
        self.evaluates_at = f"127.0.0.1:{line.split()[-1]}" if line else None
        return process

    def rows(self):
        tls = self.tls["viewer"]
        told = run(GO / "grpcurl", "-cacert", tls / "ca.crt", "-cert", tls / "tls.crt", "-key", tls / "tls.key", "-d",
                   '{"table": "env"}', self.services["replay"].address, "demorl.replay.v1.ReplayService/GetTable")
        return int(json.loads(told.stdout)["table"].get("rows_inserted", 0)) if told.returncode == 0 else told.stderr

    def wait_until(self, condition, what):
        deadline = time.monotonic() + TIMEOUT_S
        while not condition():
            self.assertLess(time.monotonic(), deadline, f"{what}\n{self.log.read_text()}")
            time.sleep(0.05)

    def evaluate(self, *credentials):
        """Code and words of the refusal of a call that is for another run."""
        with grpc.secure_channel(self.evaluates_at, grpc.ssl_channel_credentials(*credentials)) as channel:
            with self.assertRaises(grpc.RpcError) as refused:
                channel.unary_unary(EVALUATE)(b"", timeout=10)
        return refused.exception.code(), refused.exception.details()

    def files(self, role):
        return [(self.tls[role] / name).read_bytes() for name in ("ca.crt", "tls.key", "tls.crt")]

    def test_collects_and_is_called_by_those_who_may(self):
        process = self.start("--tls-dir", self.tls["actor"], "--stay")
        self.wait_until(lambda: self.rows() == 60, "its rows")
        code, words = self.evaluate(*self.files("evaluator"))
        self.assertEqual(code, grpc.StatusCode.FAILED_PRECONDITION)
        self.assertIn("this is run 'run'", words)
        code, words = self.evaluate(*self.files("viewer"))
        self.assertEqual(code, grpc.StatusCode.PERMISSION_DENIED)
        self.assertIn("viewer may not call this; allowed: evaluator, operator", words)
        self.assertEqual(self.evaluate(self.files("viewer")[0])[0], grpc.StatusCode.UNAVAILABLE)
        stranger = Authority(self.folder / "other").issue("evaluator")
        credentials = [self.files("viewer")[0], (stranger / "tls.key").read_bytes(), (stranger / "tls.crt").read_bytes()]
        self.assertEqual(self.evaluate(*credentials)[0], grpc.StatusCode.UNAVAILABLE)
        process.terminate()
        self.assertEqual(process.wait(), 0, self.log.read_text())

    def test_shows_a_token_of_the_environment(self):
        lab = self.folder / "lab"
        lab.mkdir()
        (lab / "ca.crt").write_bytes(self.files("actor")[0])
        process = self.start(DEMORL_TLS_DIR=lab, DEMORL_TOKEN_FILE=self.token)
        self.assertEqual(process.wait(), 0, self.log.read_text())
        self.assertEqual(self.rows(), 60)

    def replace(self, role, issued, *authorities):
        """Writes a certificate, and those whom its owner trusts, where `role` has its own."""
        for name in ("tls.key", "tls.crt"):
            (self.tls[role] / name).write_bytes((issued / name).read_bytes())
        (self.tls[role] / "ca.crt").write_bytes(b"".join((folder / "ca.crt").read_bytes() for folder in authorities))

    def test_evaluates_with_a_renewed_certificate_and_authority(self):
        process = self.start("--tls-dir", self.tls["actor"], "--stay")
        self.wait_until(lambda: self.rows() == 60, "its rows")
        former, following = self.authority.folder, Authority(self.folder / "next")
        evaluator = following.issue("evaluator")
        credentials = [(evaluator / name).read_bytes() for name in ("ca.crt", "tls.key", "tls.crt")]
        self.assertEqual(self.evaluate(*credentials)[0], grpc.StatusCode.UNAVAILABLE)
        self.replace("actor", following.issue("actor"), former, following.folder)
        self.assertEqual(self.evaluate(*credentials)[0], grpc.StatusCode.FAILED_PRECONDITION)
        process.terminate()
        self.assertEqual(process.wait(), 0, self.log.read_text())

    def test_next_streams_show_a_renewed_certificate(self):
        former, following = self.authority.folder, Authority(self.folder / "next")
        address, status = self.services["snapshot"].address, "/demorl.control.v1.ControlService/GetStatus"
        with security.Connection(address, security.Security(self.tls["viewer"])) as connection:
            call = lambda: connection.channel().unary_unary(status)(b"", timeout=10)
            self.assertIn(b"run", call())
            before = connection.channel()
            self.replace("snapshot", self.tls["snapshot"], following.folder)

            def shut_out():
                with grpc.secure_channel(address, grpc.ssl_channel_credentials(*self.files("viewer")),
                                         options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
                    try:
                        channel.unary_unary(status)(b"", timeout=10)
                    except grpc.RpcError:
                        return True

            self.log = self.services["snapshot"].log
            self.wait_until(shut_out, "the server to trust the next authority alone")
            self.assertIs(connection.channel(), before)
            self.replace("viewer", following.issue("viewer"), former)
            self.assertIsNot(connection.channel(), before)
            self.assertIn(b"run", call())

    def test_says_what_is_missing_or_refused(self):
        empty = self.folder / "empty"
        empty.mkdir()
        for arguments, words in (((), "want one of both"), (("--token-file", self.token), "ca.crt: No such file")):
            process = self.start("--tls-dir", empty, *arguments)
            self.assertEqual(process.wait(), 1)
            self.assertIn(words, self.log.read_text())
        self.assertEqual(self.start("--token-file", self.token).wait(), 1)
        self.assertIn("a token is shown over TLS alone", self.log.read_text())
        viewer = self.start("--tls-dir", self.tls["viewer"])
        self.assertEqual(viewer.wait(), 1)
        self.assertIn("viewer may not call demorl.replay.v1.ReplayService/Append", self.log.read_text())
        stranger = Authority(self.folder / "other").issue("actor")
        (stranger / "ca.crt").write_bytes(self.files("actor")[0])
        self.start("--tls-dir", stranger)
        self.wait_until(lambda: "the server may have refused us after the TLS handshake" in self.log.read_text(), "the hint")


if __name__ == "__main__":
    unittest.main()
