"""deploy/compose.yaml by the images themselves, without an engine: each service is a container of its own address, with
the command, volumes and health check that the file gives it; the run must learn, and stop as it should. As root, after
tools/images; takes a few minutes."""

import atexit
import os
import pathlib
import re
import shlex
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import urllib.request

import yaml

from container import ROOT, Container, version

COMPOSE = ROOT / "deploy/compose.yaml"
COMPOSE_CUDA = ROOT / "deploy/compose.cuda.yaml"
NETWORK = f"demorl{os.getpid() % 10000}"
SUBNET = "10.231.77"
PATIENCE_S = 900
UPDATES = 200
SERVICES = ("replay", "snapshot", "model-trainer", "mpc-rollout", "sac-learner", "actor")
JOBS = ("run", "certificates")
TLS_FOLDER = "/var/lib/demorl-tls/"
AUTHORITY_FOLDER = "/var/lib/demorl-authority"


def run(*command):
    subprocess.run(command, check=True, capture_output=True)


def read_compose(*files):
    """Of compose.yaml, and what else is put on top of it."""
    chosen = [part for file in (COMPOSE, *files) for part in ("-f", file)]
    text = subprocess.run(["docker-compose", *chosen, "config"], check=True, capture_output=True, text=True).stdout
    return yaml.safe_load(text)


def service_of(name):
    """Of a container: one that was added by --scale has a number."""
    return re.sub(r"-\d+$", "", name)


def copy_folder(source, target):
    """With its owners, as an engine fills a volume."""
    shutil.copytree(source, target, symlinks=True, dirs_exist_ok=True)
    for path in (source, *source.rglob("*")):
        owner = path.lstat()
        os.chown(target / path.relative_to(source), owner.st_uid, owner.st_gid, follow_symlinks=False)


class NameServer(threading.Thread):
    """Answers with the addresses of a name, and with nothing to all other questions, as an engine's does."""

    def __init__(self, host, addresses):
        super().__init__(daemon=True)
        self.addresses = addresses
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((host, 53))

    def run(self):
        while True:
            try:
                query, peer = self.socket.recvfrom(512)
                self.socket.sendto(self.answer(query), peer)
            except OSError:  # closed
                return

    def answer(self, query):
        labels, place = [], 12
        while (length := query[place]) != 0:
            labels.append(query[place + 1:place + 1 + length].decode())
            place += 1 + length
        question = query[12:place + 5]
        addresses = [address for name, address in self.addresses.items() if service_of(name) == ".".join(labels)]
        flags = 0x8180 if addresses else 0x8183  # no such name
        if question[-4:-2] != b"\0\1":  # type A
            addresses = []
        records = [b"\xc0\x0c\0\1\0\1" + struct.pack(">IH", 10, 4) + socket.inet_aton(address) for address in addresses]
        return query[:2] + struct.pack(">HHHHH", flags, 1, len(records), 0, 0) + question + b"".join(records)


class Network:
    """A bridge with an address for each name, which no other host can reach."""

    def __init__(self, names, folder):
        self.addresses = {name: f"{SUBNET}.{10 + index}" for index, name in enumerate(names)}
        self.resolver = folder / "resolv.conf"
        self.resolver.write_text(f"nameserver {SUBNET}.1\n")
        self.namespaces = []
        self.name_server = None

    def open(self):
        run("ip", "link", "add", NETWORK, "type", "bridge")
        run("ip", "address", "add", f"{SUBNET}.1/24", "dev", NETWORK)
        run("ip", "link", "set", NETWORK, "up")
        self.name_server = NameServer(f"{SUBNET}.1", self.addresses)
        self.name_server.start()
        for index, (name, address) in enumerate(self.addresses.items()):
            namespace, outer = f"{NETWORK}-{name}", f"{NETWORK}-{index}"
            run("ip", "netns", "add", namespace)
            self.namespaces.append(namespace)
            run("ip", "link", "add", outer, "type", "veth", "peer", "name", "eth0", "netns", namespace)
            run("ip", "link", "set", outer, "master", NETWORK, "up")
            run("ip", "-n", namespace, "address", "add", f"{address}/24", "dev", "eth0")
            run("ip", "-n", namespace, "link", "set", "eth0", "up")
            run("ip", "-n", namespace, "link", "set", "lo", "up")

    def close(self):
        if self.name_server is not None:
            self.name_server.socket.close()
        while self.namespaces:
            run("ip", "netns", "delete", self.namespaces.pop())
        subprocess.run(["ip", "link", "delete", NETWORK], check=False, capture_output=True)


class Mount:
    """An entry of a service's volumes, short or long. A volume of no name is its container's own."""

    def __init__(self, entry, container_name):
        if isinstance(entry, dict):
            self.source, self.target = entry["source"], entry["target"]
            self.read_only = entry.get("read_only", False)
            self.copies = not entry.get("volume", {}).get("nocopy", False)
        else:
            parts = entry.split(":")
            self.read_only = parts[-1] == "ro"
            if parts[-1] in ("ro", "rw"):
                parts.pop()
            self.target = parts[-1]
            self.source = parts[0] if len(parts) == 2 else container_name + self.target.replace("/", "-")
            self.copies = True


class Project:
    """What an engine does with the file, as far as this one needs it."""

    def __init__(self, compose, folder):
        self.services = {name: service for name, service in compose["services"].items()
                         if "profiles" not in service or name == "cli"}
        self.services["actor-2"] = self.services["actor"]  # --scale actor=2
        self.folder = folder
        self.network = Network([name for name, service in self.services.items() if "network_mode" not in service], folder)
        self.containers = {}

    def mounts(self, name):
        return [Mount(entry, name) for entry in self.services[name].get("volumes", [])]

    def place_of(self, mount):
        path = pathlib.Path(mount.source)
        return path if path.is_absolute() else self.folder / "volumes" / path

    def create(self, name):
        """A volume is root's. While it is empty, each container that is made with it gives it the owner, the mode (and what
        else there is) of the folder that the image has at its place, read-only or not."""
        target = re.fullmatch(r"demorl/([a-z-]+):[\d.]+", self.services[name]["image"]).group(1)
        container = self.containers[name] = Container(target, name)
        for mount in self.mounts(name):
            if pathlib.Path(mount.source).is_absolute():
                continue
            volume, model = self.place_of(mount), container.root / mount.target.lstrip("/")
            volume.mkdir(parents=True, exist_ok=True)
            if mount.copies and model.is_dir() and not any(volume.iterdir()):
                copy_folder(model, volume)

    def start(self, name, command=None, instead=None, also=()):
        """`instead` are volumes to take for others, `also` more binds."""
        service, container = self.services[name], self.containers[name]
        binds = [(self.network.resolver, "/etc/resolv.conf", True), *also]
        for mount in self.mounts(name):
            mount.source = (instead or {}).get(mount.source, mount.source)
            binds.append((self.place_of(mount), mount.target, mount.read_only))
        command = command or service.get("command")
        network = service.get("network_mode", f"{NETWORK}-{name}")
        container.start(shlex.split(command) if isinstance(command, str) else command, binds, network,
                        service.get("environment"))
        return container

    def run(self, name, command=None, instead=None, also=()):
        """What a container says that runs once; with its status."""
        if name not in self.containers:
            self.create(name)
        container = self.start(name, command, instead, also)
        status = container.process.wait(60)
        said = container.text()
        self.remove(name)
        return status, said

    def remove(self, name):
        self.containers.pop(name).remove()

    def is_healthy(self, name):
        """The check of the file, in the container's own network, as an engine asks it."""
        test = self.services[name]["healthcheck"]["test"]
        assert test[0] == "CMD", test
        return self.containers[name].ask(test[1:])[0] == 0

    def metric(self, service, name):
        """The value of a metric, with its labels if there are several, by the address that the file's Prometheus scrapes; None
        while there is none."""
        address = f"http://{self.network.addresses[service]}:9464/metrics"
        try:
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(address, timeout=5) as answer:
                found = re.search(rf"^{re.escape(name)}(?:{{[^}}]*}})? (\S+)$", answer.read().decode(), re.MULTILINE)
        except OSError:
            return None
        return float(found.group(1)) if found else None

    def close(self):
        for name in list(self.containers):
            self.remove(name)
        self.network.close()


class ComposeFileTest(unittest.TestCase):

    def setUp(self):
        self.services = read_compose()["services"]

    def test_every_container_is_held_tightly(self):
        for name, service in self.services.items():
            self.assertIs(service.get("read_only"), True, name)
            self.assertEqual(service.get("cap_drop"), ["ALL"], name)
            self.assertIn("no-new-privileges:true", service.get("security_opt", []), name)
            for port in service.get("ports", []):
                self.assertTrue(str(port).startswith("127.0.0.1:"), f"{name}: {port}")

    def test_images_are_pinned_and_ours_are_of_this_version_and_dockerfile(self):
        targets = re.findall(r"^FROM (?:runtime|compute) AS (\S+)$", (ROOT / "deploy/docker/Dockerfile").read_text(), re.MULTILINE)
        for name, service in self.services.items():
            repository, tag = service["image"].split(":")
            self.assertRegex(tag, r"^v?\d+\.\d+\.\d+$", name)
            if repository.startswith("demorl/"):
                self.assertIn(repository.removeprefix("demorl/"), targets)
                self.assertEqual(tag, version())

    def test_prometheus_scrapes_every_service_where_it_serves(self):
        scraped = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yaml").read_text())["scrape_configs"]
        hosts = {}
        for job in scraped:
            for group in job.get("static_configs", []):
                hosts.update({target: job["job_name"] for target in group["targets"]})
            for group in job.get("dns_sd_configs", []):
                hosts.update({f"{host}:{group['port']}": job["job_name"] for host in group["names"]})
        run_text = (ROOT / "deploy/compose/run.textproto").read_text()
        self.assertEqual(hosts.get("evaluator:9464"), "evaluator")
        self.assertIn("0.0.0.0:9464", self.services["evaluator"]["command"])
        for name in SERVICES:
            section = re.search(rf"^  {name.replace('-', '_')} \{{(.*?)^  \}}", run_text, re.DOTALL | re.MULTILINE).group(1)
            port = re.search(r'metrics_address: "0.0.0.0:(\d+)"', section).group(1)
            self.assertEqual(hosts.get(f"{name}:{port}"), name.replace("-", "_"))
            self.assertIn(f'address: "dns:///{name}:50051"', section)

    def test_each_reads_its_own_certificate_alone_and_only_the_job_holds_the_authority(self):
        for name, service in self.services.items():
            mounts = [Mount(entry, name) for entry in service.get("volumes", [])]
            tls = {mount.target: mount for mount in mounts if mount.source.startswith("tls-")}
            if name == "certificates":
                self.assertEqual(len(tls), len(SERVICES) + 2)
                continue
            self.assertNotIn("authority", [mount.source for mount in mounts], name)
            shared = {mount.source: mount for mount in mounts if mount.source in ("run", "revoked")}
            if name in (*SERVICES, "evaluator", "cli"):
                peer = {"cli": "operator"}.get(name, name)
                self.assertEqual(list(tls), [TLS_FOLDER + peer.replace("-", "_")])
                self.assertEqual(tls.popitem()[1].source, f"tls-{peer}")
                self.assertEqual(set(shared), {"run", "revoked"}, name)
                self.assertTrue(all(mount.read_only for mount in mounts if mount.source in (f"tls-{peer}", *shared)), name)
                self.assertIn("certificates", service["depends_on"])
            else:
                self.assertFalse(tls, name)

    def test_those_that_compute_can_have_a_gpu(self):
        changed = yaml.safe_load(COMPOSE_CUDA.read_text())["services"]
        self.assertEqual(set(changed), {"model-trainer", "mpc-rollout", "sac-learner"})
        merged = read_compose(COMPOSE_CUDA)["services"]
        for name, keys in changed.items():
            self.assertEqual(set(keys), {"image", "build", "deploy"}, name)
            self.assertEqual(merged[name]["image"], self.services[name]["image"] + "-cuda")
            self.assertEqual(merged[name]["build"], {**self.services[name]["build"], "args": {"TORCH": "cuda"}})
            devices = merged[name]["deploy"]["resources"]["reservations"]["devices"]
            self.assertEqual(devices, [{"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}], name)

    def test_every_service_has_longer_to_stop_than_it_drains(self):
        proto = (ROOT / "proto/demorl/config/v1/run.proto").read_text()
        drain_s = float(re.search(r"drain_timeout_s = \d+ \[default = (\d+)", proto).group(1))
        for name in SERVICES:
            grace = self.services[name]["stop_grace_period"]
            self.assertGreater(float(re.fullmatch(r"(\d+)s", grace).group(1)), drain_s + 5, name)


class ComposeTest(unittest.TestCase):

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        path = pathlib.Path(folder.name)
        path.chmod(0o755)
        self.project = Project(read_compose(), path)
        self.addCleanup(self.project.close)
        atexit.register(self.project.close)  # also where somebody ends the test from outside
        self.project.network.open()
        self.deadline = time.monotonic() + PATIENCE_S

    def wait_for(self, what, condition):
        started = time.monotonic()
        while not condition():
            for name, container in self.project.containers.items():
                self.assertIsNone(container.process.poll(), f"{name} is over:\n{container.text()}")
            if time.monotonic() > self.deadline:
                self.fail(f"never: {what}\n" + "\n".join(container.text()[-3000:]
                                                        for container in self.project.containers.values()))
            time.sleep(0.2)
        print(f"{what} after {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)

    def dial_without_certificate(self, service):
        """What openssl says of the server, until that hangs up."""
        authority = self.project.folder / "volumes/tls-operator/ca.crt"
        return subprocess.run(
            ["openssl", "s_client", "-connect", f"{self.project.network.addresses[service]}:50051", "-alpn", "h2", "-CAfile",
             authority, "-verify_hostname", service, "-verify_return_error", "-ign_eof"], check=False, timeout=60,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace").stdout

    def names_of(self, service):
        """The names in the certificate that a service shows."""
        shown = re.search(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", self.dial_without_certificate(service),
                          re.DOTALL)
        return subprocess.run(["openssl", "x509", "-noout", "-ext", "subjectAltName"], input=shown.group(0), check=True,
                              capture_output=True, text=True).stdout

    def check_strangers_are_refused(self):
        for service in SERVICES:
            said = self.dial_without_certificate(service)
            self.assertIn("Verify return code: 0 (ok)", said, service)
            self.assertRegex(said, "unexpected eof|certificate required", service)
            self.assertIn("did not return a certificate", self.project.containers[service].text())
        with socket.create_connection((self.project.network.addresses["replay"], 50051), timeout=30) as plain:
            plain.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes.fromhex("000000040000000000"))
            try:
                answer = plain.recv(100)
            except ConnectionResetError:
                answer = b""
            self.assertNotIn(b"\0\0\0\4", answer)  # no settings of HTTP/2

    def check_roles(self):
        """An actor's certificate, where an operator's should be, is an actor's."""
        _, said = self.project.run("cli", instead={"tls-operator": "tls-actor"})
        self.assertEqual(said.count("actor may not"), len(SERVICES), said)

    def check_renewal(self):
        """Under services that go on."""
        command = [*self.project.services["certificates"]["command"], "--dns", "workstation.lab"]
        status, said = self.project.run("certificates", command)
        self.assertEqual((status, said.count("issued now: it was for")), (0, len(SERVICES)), said)
        for service in SERVICES:
            self.wait_for(f"{service} shows its new certificate", lambda s=service: "workstation.lab" in self.names_of(s))
        before = self.project.metric("sac-learner", "demorl_sac_learner_updates_total")
        self.wait_for("the learner goes on",
                      lambda: (self.project.metric("sac-learner", "demorl_sac_learner_updates_total") or 0) > before)

    def check_revocation(self):
        """A certificate that leaked is of no use, and its owners go on with another, as deploy/docker/README.md tells it."""
        volumes = self.project.folder / "volumes"
        (volumes / "stolen").mkdir()
        (volumes / "no-list").mkdir(mode=0o755)
        copy_folder(volumes / "tls-actor", volumes / "stolen")
        status, said = self.project.run("certificates", ["certs", "revoke", "actor", "--dir", AUTHORITY_FOLDER])
        self.assertEqual((status, said.count("certificates of actor revoked")), (0, 1), said)
        status, said = self.project.run("certificates")
        self.assertEqual((status, said.count("was revoked on"), said.count("as it was")),
                         (0, 1, len(SERVICES) + 1), said)
        # Whoever has stolen it does not ask the list.
        self.wait_for("a stolen certificate is refused by all", lambda: self.project.run(
            "cli", instead={"tls-operator": "stolen", "revoked": "no-list"})[1].count("was revoked on") == len(SERVICES))
        for name in ("actor", "actor-2"):
            self.project.containers[name].stop()
            self.project.start(name)
            self.wait_for(f"{name} is healthy again", lambda actor=name: self.project.is_healthy(actor))
            before = self.project.metric(name, "demorl_actor_steps_total") or 0
            self.wait_for(f"{name} collects", lambda actor=name, steps=before: (
                self.project.metric(actor, "demorl_actor_steps_total") or 0) > steps)

    def check_status(self):
        status, said = self.project.run("cli")
        self.assertEqual(status, 0, said)
        for name in SERVICES:
            self.assertRegex(said, rf"(?m)^{name.replace('-', '_')} +(running|waiting|paused|idle)")

    def check_results_can_be_taken_home(self):
        """As deploy/docker/README.md tells it."""
        volumes, home = self.project.folder / "volumes", self.project.folder / "my-run"
        shutil.copytree(volumes / "evaluator", home)
        shutil.copytree(volumes / "snapshot", home / "snapshots")
        for path in (home, *home.rglob("*")):  # of the user who copies
            os.chown(path, 65532, 65532)
        status, said = self.project.run("cli", ["eval", "--run", "/my-run", "--episodes", "1"], also=[(home, "/my-run", True)])
        self.assertEqual(status, 0, said)
        self.assertGreaterEqual(len((home / "eval.csv").read_text().splitlines()), 2)

    def test_a_run_learns_over_tls_is_looked_at_and_stops(self):
        project = self.project
        services = [*SERVICES, "actor-2", "evaluator"]
        for name in (*JOBS, *services):  # Compose makes them all before it starts the first
            project.create(name)
        status, said = project.run("run")
        self.assertEqual(status, 0, said)
        status, said = project.run("certificates")
        self.assertEqual((status, said.count("issued now: there was none")), (0, len(SERVICES) + 2), said)
        status, said = project.run("certificates")
        self.assertEqual((status, said.count("as it was")), (0, len(SERVICES) + 2), said)
        key = project.folder / "volumes/authority/ca.key"
        self.assertEqual((key.stat().st_mode & 0o777, key.stat().st_uid), (0o600, 65532))
        for name in services:
            self.assertEqual(list(project.services[name]["depends_on"]), ["certificates"])
            project.start(name)
        self.wait_for("all are healthy", lambda: all(project.is_healthy(name) for name in (*SERVICES, "actor-2")))
        self.check_strangers_are_refused()
        self.wait_for(f"{UPDATES} updates",
                      lambda: (project.metric("sac-learner", "demorl_sac_learner_updates_total") or 0) >= UPDATES)
        for name in ("actor", "actor-2"):
            self.wait_for(f"{name} follows a learned policy",
                          lambda actor=name: (project.metric(actor, "demorl_actor_policy_version") or 0) >= 1)
            self.assertGreater(project.metric(name, "demorl_actor_steps_total"), 0)
        self.wait_for("a model is published",
                      lambda: (project.metric("model-trainer", "demorl_model_trainer_publishes_total") or 0) >= 1)
        self.wait_for("the planner uses it",
                      lambda: (project.metric("mpc-rollout", "demorl_mpc_rollout_dynamics_version") or 0) >= 1)
        self.wait_for("an evaluation is recorded",
                      lambda: (project.metric("evaluator", "demorl_evaluator_evaluations_total") or 0) >= 1)
        self.check_revocation()
        self.check_renewal()
        self.check_status()
        self.check_roles()
        self.check_results_can_be_taken_home()
        for name in reversed(services):
            grace_s = float(re.fullmatch(r"(\d+)s", project.services[name]["stop_grace_period"]).group(1))
            self.assertEqual(project.containers[name].stop(grace_s), 0, project.containers[name].text()[-3000:])


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    unittest.main()
