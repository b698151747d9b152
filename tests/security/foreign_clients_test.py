"""TLS, roles and limits as clients that are not ours find them: openssl, grpcurl, ghz and gRPC for Python, at a snapshot service.

Run by tools/check-deploy. DEMORL_BIN: folder of demorl-snapshot; DEMORL_GO_TOOLS: of bin/grpcurl and bin/ghz.
"""

import json
import os
import pathlib
import re
import socket
import ssl
import subprocess
import tempfile
import unittest

import grpc

BIN = pathlib.Path(os.environ["DEMORL_BIN"])
GO = pathlib.Path(os.environ["DEMORL_GO_TOOLS"]) / "bin"
GET_STATUS = "demorl.control.v1.ControlService/GetStatus"
PAUSE = "demorl.control.v1.ControlService/Pause"


def run(*command, **options):
    return subprocess.run([str(word) for word in command], capture_output=True, text=True, errors="replace", timeout=120,
                          **options)


def openssl(*arguments):
    done = run("openssl", *arguments)
    assert done.returncode == 0, done.stderr


def frame(kind, flags, stream, payload=b""):
    """One of HTTP/2."""
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def header(name, value):
    """Of HPACK, as a literal that is not indexed."""
    return b"\0" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()


class Authority:
    """Issues certificates by the openssl program, into folders of tls.crt, tls.key and ca.crt."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir()
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=authority",
                "-days", 2, "-keyout", folder / "ca.key", "-out", folder / "ca.crt")

    def issue(self, role):
        folder = self.folder / role
        folder.mkdir()
        (folder / "extensions").write_text(f"subjectAltName=URI:spiffe://demorl.local/{role},DNS:localhost,IP:127.0.0.1\n")
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={role}",
                "-keyout", folder / "tls.key", "-out", folder / "request")
        openssl("x509", "-req", "-in", folder / "request", "-CA", self.folder / "ca.crt", "-CAkey", self.folder / "ca.key",
                "-CAcreateserial", "-days", 2, "-extfile", folder / "extensions", "-out", folder / "tls.crt")
        (folder / "ca.crt").write_bytes((self.folder / "ca.crt").read_bytes())
        return folder


class ForeignClientsTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory()
        folder = pathlib.Path(cls.temporary.name)
        authority = Authority(folder / "authority")
        cls.tls = {role: authority.issue(role) for role in ("snapshot", "operator", "viewer", "actor")}
        cls.stranger = Authority(folder / "other").issue("operator")
        config = folder / "run.textproto"
        config.write_text(f'run_id: "run"\nservices {{ snapshot {{ limits {{ max_calls_per_second: 200 }} }} }}\n'
                          f'security {{ tls_dir: "{cls.tls["snapshot"]}" }}\n')
        cls.log_path = folder / "log"
        with cls.log_path.open("w") as log:
            cls.server = subprocess.Popen([BIN / "demorl-snapshot", "--config", config], stderr=log)
        while not (port := re.search(r"listening on .*\(port (\d+)\)", cls.log_path.read_text())):
            assert cls.server.poll() is None, cls.log_path.read_text()
        cls.address = f"127.0.0.1:{port[1]}"

    @classmethod
    def tearDownClass(cls):
        cls.server.terminate()
        assert cls.server.wait() == 0, cls.log_path.read_text()
        cls.temporary.cleanup()

    def grpcurl(self, tls, *words):
        return run(GO / "grpcurl", "-cacert", tls / "ca.crt", "-cert", tls / "tls.crt", "-key", tls / "tls.key", self.address,
                   *words)

    def s_client(self, *words):
        tls = self.tls["viewer"]
        return run("openssl", "s_client", "-connect", self.address, "-alpn", "h2", "-CAfile", tls / "ca.crt",
                   "-verify_return_error", *words, stdin=subprocess.DEVNULL)

    def with_certificate(self):
        tls = self.tls["viewer"]
        return "-cert", tls / "tls.crt", "-key", tls / "tls.key"

    def test_grpcurl_sees_what_its_role_may_see(self):
        listed = self.grpcurl(self.tls["viewer"], "list")
        self.assertIn("demorl.snapshot.v1.SnapshotService", listed.stdout, listed.stderr)
        status = self.grpcurl(self.tls["viewer"], GET_STATUS)
        self.assertEqual(json.loads(status.stdout)["run_id"], "run", status.stderr)
        refused = self.grpcurl(self.tls["viewer"], PAUSE)
        self.assertIn("PermissionDenied", refused.stderr)
        self.assertIn("viewer may not call demorl.control.v1.ControlService/Pause; allowed: operator", refused.stderr)
        self.assertEqual(self.grpcurl(self.tls["operator"], PAUSE).returncode, 0)
        self.assertEqual(self.grpcurl(self.tls["operator"], "demorl.control.v1.ControlService/Resume").returncode, 0)
        self.assertIn("PermissionDenied", self.grpcurl(self.tls["actor"], "list").stderr)

    def test_grpcurl_of_another_authority_without_certificate_or_in_plain_text_is_refused(self):
        tls = self.tls["operator"]
        self.assertIn("certificate signed by unknown authority", self.grpcurl(self.stranger, "list").stderr)
        for words in (
            ("-cacert", tls / "ca.crt", "-cert", self.stranger / "tls.crt", "-key", self.stranger / "tls.key"),
            ("-cacert", tls / "ca.crt"),
            ("-plaintext",),
        ):
            self.assertNotEqual(run(GO / "grpcurl", "-max-time", 10, *words, self.address, "list").returncode, 0, words)
        log = self.log_path.read_text()
        self.assertIn("unable to get local issuer certificate", log)
        self.assertIn("peer did not return a certificate", log)

    def test_ghz_loads_it_without_an_error(self):
        tls = self.tls["viewer"]
        report = run(GO / "ghz", "--cacert", tls / "ca.crt", "--cert", tls / "tls.crt", "--key", tls / "tls.key", "--call",
                     GET_STATUS, "-n", 150, "-c", 10, "--connections", 10, "-d", "{}", "-O", "json", self.address)
        self.assertEqual(json.loads(report.stdout)["statusCodeDistribution"], {"OK": 150}, report.stderr)

    def test_ghz_beyond_its_rate_is_told_so_and_others_are_served(self):
        tls = self.tls["operator"]
        report = run(GO / "ghz", "--cacert", tls / "ca.crt", "--cert", tls / "tls.crt", "--key", tls / "tls.key", "--call",
                     GET_STATUS, "-n", 3000, "-c", 50, "-d", "{}", "-O", "json", self.address)
        outcome = json.loads(report.stdout)["statusCodeDistribution"]
        self.assertEqual(set(outcome), {"OK", "ResourceExhausted"})
        self.assertEqual(self.grpcurl(self.tls["viewer"], GET_STATUS).returncode, 0)

    def test_grpc_for_python_by_certificate(self):
        tls = self.tls["viewer"]
        read = lambda name: (tls / name).read_bytes()
        with grpc.secure_channel(self.address, grpc.ssl_channel_credentials(read("ca.crt"), read("tls.key"), read("tls.crt"))) as channel:
            self.assertIn(b"run", channel.unary_unary("/" + GET_STATUS)(b"", timeout=10))
            with self.assertRaises(grpc.RpcError) as refused:
                channel.unary_unary("/" + PAUSE)(b"", timeout=10)
        self.assertEqual(refused.exception.code(), grpc.StatusCode.PERMISSION_DENIED)
        with grpc.secure_channel(self.address, grpc.ssl_channel_credentials(read("ca.crt"))) as channel:
            with self.assertRaises(grpc.RpcError):
                channel.unary_unary("/" + GET_STATUS)(b"", timeout=10)

    def test_a_header_of_grpcs_own_load_balancers_ends_no_server(self):
        tls = self.tls["viewer"]
        context = ssl.create_default_context(cafile=tls / "ca.crt")
        context.load_cert_chain(tls / "tls.crt", tls / "tls.key")
        context.set_alpn_protocols(["h2"])
        host, port = self.address.split(":")
        headers = b"".join(header(*pair) for pair in (
            (":method", "POST"), (":scheme", "https"), (":path", "/" + GET_STATUS), (":authority", host), ("te", "trailers"),
            ("content-type", "application/grpc"), ("grpclb_client_stats", "x")))
        with context.wrap_socket(socket.create_connection((host, int(port)), timeout=30), server_hostname="localhost") as client:
            client.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0) + frame(1, 4, 1, headers) + frame(0, 1, 1, bytes(5)))
            answer = b""
            while b"grpc-status" not in answer and (some := client.recv(4096)):
                answer += some
        self.assertIn(b"grpc-status", answer)
        self.assertIn(b"run", answer)
        self.assertIsNone(self.server.poll())

    def test_openssl_finds_tls_1_3_alone(self):
        for version in ("-tls1", "-tls1_1", "-tls1_2"):
            done = self.s_client(version, "-cipher", "ALL:@SECLEVEL=0", *self.with_certificate())
            self.assertIn("Cipher is (NONE)", done.stdout, version)
        done = self.s_client(*self.with_certificate())
        self.assertIn("TLSv1.3", done.stdout)
        self.assertIn("ALPN protocol: h2", done.stdout)
        self.assertIn("Acceptable client certificate CA names", done.stdout)
        self.assertEqual(done.returncode, 0)

    def test_openssl_finds_ciphers_with_authentication_alone(self):
        for cipher in ("TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256", "TLS_AES_128_GCM_SHA256"):
            self.assertIn(f"Cipher is {cipher}", self.s_client("-ciphersuites", cipher, *self.with_certificate()).stdout)
        weak = self.s_client("-ciphersuites", "TLS_AES_128_CCM_8_SHA256", *self.with_certificate())
        self.assertIn("Cipher is (NONE)", weak.stdout)


if __name__ == "__main__":
    unittest.main()
