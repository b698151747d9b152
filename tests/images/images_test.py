"""What every image promises: images_test.py [--torch debian|cuda] [TARGET...], as root, after tools/images with the same
arguments. Needs grpcio, and Debian's Python jsonschema."""

import argparse
import json
import os
import pathlib
import re
import stat
import subprocess
import sys
import tempfile
import time
import unittest

import grpc

from container import ROOT, Container, buildah, image_name, inspect, version

sys.path.insert(0, str(ROOT / "tests/e2e"))
from free_ports import free_port  # noqa: E402  (needs the path above)

SIZE_LIMITS_MB = {"replay": 120, "actor": 150}
SERVICES = ("replay", "snapshot", "actor", "model-trainer", "mpc-rollout", "sac-learner")
COMPUTE = ("model-trainer", "mpc-rollout", "sac-learner")
TARGETS = (*SERVICES, "cli")
CACHE = pathlib.Path(os.environ.get("DEMORL_CACHE_DIR", pathlib.Path.home() / ".cache/demorl"))
SCHEMAS = CACHE / "cyclonedx-11.12.0/cyclonedx/schema/_res"
SERVING = b"\x08\x01"
PATIENCE_S = 60


def health(address, service):
    """By a foreign client and without a stub: field 1 of the request is the name, field 1 of the answer the state."""
    with grpc.insecure_channel(address) as channel:
        check = channel.unary_unary("/grpc.health.v1.Health/Check")
        try:
            return check(b"\x0a" + bytes([len(service)]) + service.encode(), timeout=5, wait_for_ready=True)
        except grpc.RpcError as error:
            return error.code()


def run_config(folder, own, port, health_port, snapshot_port):
    """A run of which only one service is there, and the snapshot service where that one cannot end without."""
    names = [name.replace("-", "_") for name in SERVICES]
    ports = {name: snapshot_port if name == "snapshot" else 1 for name in names}
    sections = "".join(f'  {name} {{ address: "127.0.0.1:{ports[name]}" }}\n' for name in names if name != own)
    (folder / "config.textproto").write_text(f"""
environment: "InvertedPendulum-v5"
run_id: "images"
replay {{ tables {{ name: "env" }} }}
services {{
{sections}  {own} {{
    address: "127.0.0.1:{port}"
    health_address: "127.0.0.1:{health_port}"
    data_dir: "/var/lib/demorl"
  }}
}}
""")


class ImageCase:
    """One class below for each target; `torch` is the kind of LibTorch, as tools/images takes it."""

    target = None
    torch = "debian"

    @classmethod
    def setUpClass(cls):
        cls.image = image_name(cls.target, cls.torch)
        cls.container = Container(cls.target, torch=cls.torch)
        cls.files = [path for path in cls.container.root.rglob("*")]
        cls.program = "demorl" if cls.target == "cli" else f"demorl-{cls.target}"

    @classmethod
    def tearDownClass(cls):
        cls.container.remove()

    def test_it_says_what_it_is(self):
        inspected = inspect(self.image)
        config = inspected["config"]
        labels = config["Labels"]
        for name in ("title", "description", "version", "revision", "created", "licenses", "vendor"):
            self.assertTrue(labels.get(f"org.opencontainers.image.{name}"), name)
        self.assertEqual(labels["org.opencontainers.image.title"], f"demorl-{self.target}")
        self.assertEqual(labels["org.opencontainers.image.version"], version())
        self.assertEqual(labels["org.opencontainers.image.created"], re.sub(r"\.\d+", "", inspected["created"]))
        self.assertEqual(config["User"], "65532:65532")
        self.assertEqual(config["Entrypoint"], [f"/usr/bin/{self.program}"])

    def test_it_does_not_say_of_which_steps_it_was_made(self):
        """They have other digests when they are made again, and the image should not."""
        self.assertFalse(json.loads(buildah("inspect", "--type", "image", self.image))["ImageAnnotations"])

    def test_it_is_no_larger_than_promised(self):
        size = sum(path.lstat().st_size for path in self.files if path.is_file() and not path.is_symlink()) / 1e6
        print(f"{self.image} {size:.0f} MB", file=sys.stderr)
        self.assertLessEqual(size, 3000 if self.torch == "cuda" else SIZE_LIMITS_MB.get(self.target, 700))

    def test_a_gpu_is_asked_for_where_one_is_of_use(self):
        environment = inspect(self.image)["config"].get("Env") or []
        asked = {"NVIDIA_VISIBLE_DEVICES=all", "NVIDIA_DRIVER_CAPABILITIES=compute,utility"}
        self.assertEqual({entry for entry in environment if entry.startswith("NVIDIA_")},
                         asked if self.torch == "cuda" else set())

    def test_every_library_has_the_ones_that_it_names(self):
        libraries = [path for path in self.files if re.search(r"\.so(\.|$)", path.name) and path.is_file()]
        listed = subprocess.run(["objdump", "-p", *libraries], check=True, capture_output=True, text=True).stdout
        named = set(re.findall(r"NEEDED\s+(\S+)", listed))
        # The driver's libraries come from the host, with the GPU.
        self.assertLessEqual(named - {path.name for path in libraries}, {"libcuda.so.1"} if self.torch == "cuda" else set())

    def test_there_is_no_shell_and_nothing_to_gain_privileges_by(self):
        programs = [path.name for path in self.files if path.is_file() and os.access(path, os.X_OK)
                    and not re.search(r"\.so(\.|$)", path.name)]
        # `demorl certs` calls openssl.
        self.assertEqual(sorted(programs), [self.program] if self.target != "cli" else [self.program, "openssl"])
        for path in self.files:
            mode = path.lstat().st_mode
            name = f"/{path.relative_to(self.container.root)}"
            self.assertFalse(mode & (stat.S_ISUID | stat.S_ISGID), name)
            if not stat.S_ISLNK(mode):
                self.assertTrue(name == "/tmp" or not mode & stat.S_IWOTH, name)
                self.assertEqual(path.lstat().st_uid, 65532 if re.match("/var/lib/demorl(-tls|-authority)?(/|$)", name) else 0, name)

    def test_the_program_looks_for_libraries_in_no_folder_of_the_build(self):
        program = self.container.root / "usr/bin" / self.program
        listed = subprocess.run(["objdump", "-p", program], check=True, capture_output=True, text=True).stdout
        searched = re.findall(r"R(?:UN)?PATH\s+(\S+)", listed)
        self.assertEqual([path for path in ":".join(searched).split(":") if path and not path.startswith("$ORIGIN")], [])

    def test_its_parts_are_listed_as_cyclonedx(self):
        file = self.container.root / f"usr/share/sbom/{self.program}.cdx.json"
        judged = subprocess.run(["/usr/bin/python3", "-B", ROOT / "tests/images/validate_sbom.py", file, SCHEMAS],
                                check=False, capture_output=True, text=True)
        self.assertEqual(judged.returncode, 0, judged.stderr)
        bill = json.loads(file.read_text())
        names = {component["name"] for component in bill["components"]}
        self.assertLessEqual({"libc6", "libgrpc++1.51"}, names)
        self.assertEqual("mujoco" in names, any("libmujoco" in path.name for path in self.files))
        if self.torch == "cuda":
            versions = {component["name"]: component["version"] for component in bill["components"]}
            pinned = re.findall(r"^cuda \S+ (\S+)==(\S+) ", (ROOT / "tools/packages/wheels.txt").read_text(), re.MULTILINE)
            self.assertEqual({name: versions.get(name) for name, _ in pinned}, dict(pinned))
        for component in bill["components"]:
            kept = self.container.root / "usr/share/doc" / component["name"]
            self.assertTrue(kept.is_dir(), f"no licence of {component['name']}")

    def test_every_time_is_that_of_the_source(self):
        created = inspect(self.image)["created"]
        expected = subprocess.run(["date", "-u", "-d", created, "+%s"], check=True, capture_output=True, text=True).stdout
        for path in self.files:
            if "dev" not in path.relative_to(self.container.root).parts:
                self.assertEqual(int(path.lstat().st_mtime), int(expected), path)


class ServiceCase(ImageCase):

    def test_it_serves_alone_answers_health_and_drains(self):
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            folder.chmod(0o755)
            port, health_port, snapshot_port = (free_port() for _ in range(3))
            run_config(folder, self.target.replace("-", "_"), port, health_port, snapshot_port)
            if self.target == "sac-learner":  # publishes its last policy before it ends
                snapshot = Container("snapshot")
                self.addCleanup(snapshot.remove)
                snapshot.start([*snapshot.config["Cmd"], "--override", "services.snapshot.data_dir="],
                               binds=[(folder, "/etc/demorl", True)])
            container = Container(self.target, torch=self.torch)
            self.addCleanup(container.remove)
            data = folder / "data"
            data.mkdir()
            os.chown(data, 65532, 65532)
            container.start(binds=[(folder, "/etc/demorl", True), (data, "/var/lib/demorl", False)])
            deadline = time.monotonic() + PATIENCE_S
            while (answer := health(f"127.0.0.1:{health_port}", "liveness")) != SERVING:
                self.assertIsNone(container.process.poll(), container.text())
                self.assertLess(time.monotonic(), deadline, f"{answer}\n{container.text()}")
            status = pathlib.Path(f"/proc/{container.pid()}/status").read_text()
            self.assertRegex(status, r"Uid:\s+65532\s+65532")
            self.assertRegex(status, r"CapEff:\s+0+\n")
            mounts = pathlib.Path(f"/proc/{container.pid()}/mounts").read_text()
            self.assertRegex(mounts, re.compile(r"^\S+ / \S+ ro,", re.MULTILINE))
            own, said = container.ask([f"/usr/bin/{self.program}", "--check-health", f"127.0.0.1:{health_port}"])
            ready = health(f"127.0.0.1:{health_port}", "readiness") == SERVING
            self.assertEqual(own, 0 if ready else 1, said)
            self.assertEqual(container.stop(), 0, container.text())
            self.assertIn("drained", container.text())
            revision = inspect(self.image)["config"]["Labels"]["org.opencontainers.image.revision"]
            self.assertIn(f"revision {revision}, ", container.text())
            if self.target in COMPUTE:
                has = "LibTorch has CUDA, but sees no GPU" if self.torch == "cuda" else "LibTorch is without CUDA"
                self.assertIn(f"computes on cpu (asked for auto; {has})", container.text())


class ComputeCase(ServiceCase):

    def test_a_gpu_that_is_not_there_is_refused(self):
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            folder.chmod(0o755)
            run_config(folder, self.target.replace("-", "_"), 0, 0, 1)
            container = Container(self.target, torch=self.torch)
            self.addCleanup(container.remove)
            container.start([*container.config["Cmd"], "--override", "device=cuda", "--override",
                             f"services.{self.target.replace('-', '_')}.data_dir="],
                            binds=[(folder, "/etc/demorl", True)])
            self.assertEqual(container.process.wait(PATIENCE_S), 1, container.text())
            self.assertIn("device = 'cuda'; LibTorch", container.text())


class CliCase(ImageCase):

    def test_it_makes_the_folder_of_a_run(self):
        with tempfile.TemporaryDirectory() as folder:
            os.chown(folder, 65532, 65532)
            container = Container("cli")
            self.addCleanup(container.remove)
            container.start(["check-config", "--env", "InvertedPendulum-v5", "--algorithm", "sac", "--out", "/run-folder"],
                            binds=[(folder, "/run-folder", False)])
            self.assertEqual(container.process.wait(PATIENCE_S), 0, container.text())
            self.assertIn('algorithm: "sac"', (pathlib.Path(folder) / "config.textproto").read_text())


def load_tests(_loader, _tests, _pattern):
    loader = unittest.TestLoader()
    suite = unittest.TestSuite()
    for target in wanted or (COMPUTE if arguments.torch == "cuda" else TARGETS):
        base = CliCase if target == "cli" else ComputeCase if target in COMPUTE else ServiceCase
        case = type(f"{target}_image", (base, unittest.TestCase), {"target": target, "torch": arguments.torch})
        suite.addTests(loader.loadTestsFromTestCase(case))
    return suite


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, add_help=False, allow_abbrev=False)
    parser.add_argument("--torch", choices=("debian", "cuda"), default="debian")
    arguments, others = parser.parse_known_args()
    wanted = [argument for argument in others if argument in TARGETS]
    unittest.main(argv=[sys.argv[0], *(argument for argument in others if argument not in TARGETS)])
