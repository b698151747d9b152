"""Alerts that real faults make fire: services killed or stopped, a full disk, a cut connection, a damaged file, weights that run away,
and clients that are not ours and do wrong.

The alerts are ours with their minutes made shorter (20 times). Takes about ten minutes; needs the programs (DEMORL_BIN), grpcurl
(DEMORL_GO_TOOLS), Debian's prometheus, unshare for a disk of its own, and to be allowed to trace a process that it started. Run by
tools/check-deploy.
"""

import contextlib
import ctypes
import math
import os
import pathlib
import re
import signal
import socket
import subprocess
import threading
import time
import unittest

from foreign_client import ForeignClient, scaled
from scraped_run import SIMULATED, Prometheus, ScrapedRunTest, faster_rules, free_port, metrics_of
from support import BIN, SMALL, wait_until

FACTOR = 20
# Less than RocksDB would set aside for its log, so that the disk is as full for replay as for the others.
DISK_MIB = 32


class CuttableLink:
    """Forwards a port of its own to `target`; once cut it takes connections but passes nothing on."""

    def __init__(self, target):
        self.target = target
        self.is_open = threading.Event()
        self.is_open.set()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            near = self.listener.accept()[0]
            try:
                far = socket.create_connection(self.target)
            except ConnectionRefusedError:
                near.close()
                continue
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self.pump, args=(source, sink), daemon=True).start()

    def pump(self, source, sink):
        try:
            while data := source.recv(65536):
                self.is_open.wait()
                sink.sendall(data)
        except OSError:
            pass
        sink.close()


def openssl(*arguments):
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


def make_authority(folder):
    folder.mkdir()
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", 60, "-subj", "/CN=authority",
            "-keyout", folder / "ca.key", "-out", folder / "ca.crt")
    (folder / "index").touch()
    (folder / "settings").write_text(f"[ca]\ndefault_ca=own\n[own]\ndatabase={folder / 'index'}\nnew_certs_dir={folder}\n"
                                     "rand_serial=yes\ndefault_md=sha256\nunique_subject=no\npolicy=any\n[any]\ncommonName=optional\n")


def issue(authority, folder, days):
    """A tls_dir of the snapshot service, good from the first to the second of `days`, counted from now."""
    folder.mkdir()
    openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=snapshot",
            "-keyout", folder / "tls.key", "-out", folder / "request")
    (folder / "extensions").write_text("subjectAltName=URI:spiffe://demorl.local/snapshot,IP:127.0.0.1\n")
    start, end = (time.strftime("%Y%m%d%H%M%SZ", time.gmtime(time.time() + 86400 * day)) for day in days)
    openssl("ca", "-batch", "-config", authority / "settings", "-cert", authority / "ca.crt", "-keyfile", authority / "ca.key",
            "-startdate", start, "-enddate", end, "-notext", "-extfile", folder / "extensions", "-in", folder / "request",
            "-out", folder / "tls.crt")
    (folder / "ca.crt").write_bytes((authority / "ca.crt").read_bytes())


@contextlib.contextmanager
def held_thread(pid, name):
    """Stops one thread of a process, as a disk does that does not answer it; the others go on."""
    seize, interrupt, detach, wait_all = 0x4206, 0x4207, 17, 0x40000000
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]

    def trace(request, thread):
        if libc.ptrace(request, thread, None, None) != 0:
            raise OSError(ctypes.get_errno(), f"ptrace of {name}")

    thread = next(int(task.name) for task in pathlib.Path(f"/proc/{pid}/task").iterdir()
                  if (task / "comm").read_text().strip() == name)
    trace(seize, thread)
    try:
        trace(interrupt, thread)
        os.waitpid(thread, wait_all)
        yield
    finally:
        trace(detach, thread)


class FaultsTest(ScrapedRunTest):
    def scrape(self, targets, factor=FACTOR):
        self.prometheus = Prometheus(self.folder, targets, faster_rules(self.folder, factor))

    def wait_until_only(self, *names):
        """Until these alerts fire and no others; minutes that are 3 s let a busy machine look ill for a moment."""
        wait_until(lambda: self.all_run() and self.prometheus.firing() == set(names), f"only {', '.join(names) or 'nothing'} to fire", 200)

    def wait_firing(self, *names, **labels):
        wait_until(lambda: self.all_run() and set(names) <= self.prometheus.firing(**labels),
                   f"{', '.join(names)} to fire {labels}", 200)

    def wait_over(self, *names, **labels):
        wait_until(lambda: self.all_run() and not set(names) & self.prometheus.firing(**labels),
                   f"{', '.join(names)} to end {labels}", 200)

    def start_small_run(self, *arguments, prefix=()):
        self.scrape(self.start_up("ill", SIMULATED, *SMALL, "--algorithm", "mdemorl", *arguments, prefix=prefix))
        self.wait_for("demorl_sac_learner_updates_total > 100")

    def test_stopped_and_killed_services(self):
        self.start_small_run()
        self.wait_until_only()
        os.kill(self.pids["ill", "actor"], signal.SIGSTOP)
        self.wait_firing("DemorlServiceDown", job="actor")
        self.wait_firing("DemorlLearnerStarved")
        os.kill(self.pids["ill", "actor"], signal.SIGCONT)
        self.wait_over("DemorlServiceDown", "DemorlLearnerStarved")
        os.kill(self.pids["ill", "snapshot"], signal.SIGSTOP)
        self.wait_firing("DemorlServiceDown", job="snapshot")
        self.wait_firing("DemorlSnapshotPublishFailing", job="sac_learner")
        os.kill(self.pids["ill", "snapshot"], signal.SIGCONT)
        self.wait_over("DemorlServiceDown", "DemorlSnapshotPublishFailing")
        for _ in range(3):
            self.kill_and_await_restart("mpc_rollout")
        self.wait_firing("DemorlServiceRestarting", job="mpc_rollout")

    def test_a_planner_that_prometheus_does_not_find(self):
        targets = self.start_up("ill", SIMULATED, *SMALL, "--algorithm", "mdemorl") + self.start_evaluator("ill")
        self.scrape([target for target in targets if target[1] != "mpc_rollout"])
        self.wait_firing("DemorlServiceMissing", job="mpc_rollout")
        self.wait_until_only("DemorlServiceMissing")

    def test_a_planner_that_stands_still_and_a_damaged_file(self):
        targets = self.start_up("ill", SIMULATED, *SMALL, "--algorithm", "mdemorl")
        os.kill(self.pids["ill", "mpc_rollout"], signal.SIGSTOP)
        self.scrape(targets)
        self.wait_firing("DemorlLearnerStalled")  # it waits for planned rows
        os.kill(self.pids["ill", "mpc_rollout"], signal.SIGCONT)
        self.wait_over("DemorlLearnerStalled")
        self.wait_for('demorl_snapshot_current_version{kind="policy"} > 2')
        version = next(self.folder.glob("ill/*/policy/*1.safetensors"))
        version.write_bytes(version.read_bytes()[:-1])
        self.kill_and_await_restart("snapshot")
        self.wait_firing("DemorlDataDamaged", job="snapshot")

    def kill_and_await_restart(self, service):
        start = f'process_start_time_seconds{{job="{service}"}}'
        self.wait_for(start)
        before = self.prometheus.query(f"last_over_time({start}[1m])")[0]["value"][1]
        os.kill(self.pids["ill", service], signal.SIGKILL)
        self.wait_for(f"{start} > {before}")
        children = subprocess.run(["pgrep", "-f", f"demorl-{service.replace('_', '-')} --config {self.folder}/"],
                                  capture_output=True, text=True, check=True)
        self.pids["ill", service] = int(children.stdout.split()[0])

    def test_a_full_disk(self):
        disk = self.folder / "disk"
        disk.mkdir()
        mount = f'mount -t tmpfs -o size={DISK_MIB}m tmpfs {disk} && exec "$@"'
        folders = [part for service in ("replay", "snapshot", "sac_learner")
                   for part in ("--set", f"services.{service}.data_dir={disk / service}")]
        self.start_small_run(*folders, prefix=["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mount, "sh"])
        inside = f"/proc/{self.pids['ill', 'replay']}/root{disk}"
        self.assertTrue(os.path.ismount(inside))
        with open(f"{inside}/everything", "wb", buffering=0) as file, self.assertRaisesRegex(OSError, "No space left"):
            while True:
                file.write(bytes(4096))
        self.wait_firing("DemorlReplayNotDurable", job="replay")
        self.wait_firing("DemorlCheckpointFailing", "DemorlSnapshotPublishFailing", job="sac_learner")
        self.wait_firing("DemorlCallsFailing")  # each publication is one
        os.unlink(f"{inside}/everything")
        self.wait_over("DemorlReplayNotDurable", "DemorlSnapshotPublishFailing")

    def test_an_actor_that_gets_no_policies(self):
        targets = self.start_up("ill", SIMULATED, *SMALL, "--algorithm", "mdemorl")
        link = CuttableLink(self.address_of("ill", "snapshot"))
        metrics = f"127.0.0.1:{free_port()}"
        self.processes.append(subprocess.Popen(
            [BIN / "demorl-actor", "--config", self.folder / "ill" / "services.textproto",
             "--override", f"services.snapshot.address={link.address}", "--override", "actor.writer_id=actor-1",
             "--override", "services.actor.address=127.0.0.1:0", "--override", f"services.actor.metrics_address={metrics}",
             "--override", f"services.actor.data_dir={self.folder / 'actor-1'}"],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True))
        self.scrape(targets + [("ill", "actor", metrics)])
        self.wait_for(f'demorl_actor_policy_version{{instance="{metrics}"}} > 0')
        link.is_open.clear()
        self.wait_firing("DemorlPolicyStale", instance=metrics)
        self.wait_until_only("DemorlPolicyStale")
        link.is_open.set()
        self.wait_over("DemorlPolicyStale")

    def test_clients_that_do_wrong(self):
        self.start_small_run()
        self.wait_for("demorl_mpc_rollout_rounds_total > 0")
        self.wait_until_only()
        client = ForeignClient({service: ":".join(map(str, self.address_of("ill", service)))
                                for service in ("replay", "snapshot", "mpc_rollout")})
        client.append([0] * client.sizes[0] + [math.nan] * client.sizes[0], [1])
        self.wait_firing("DemorlRowsQuarantined", table="env", reason="non_finite")
        dynamics, policy = (max(self.folder.glob(f"ill/*/{kind}/*.safetensors")).read_bytes() for kind in ("dynamics", "policy"))
        client.publish("POLICY", dynamics)
        self.wait_firing("DemorlPoliciesRefused", job="actor")
        client.publish("DYNAMICS", policy)
        self.wait_firing("DemorlPoliciesRefused", job="mpc_rollout")
        client.publish("DYNAMICS", scaled(dynamics, 1e20))  # finite, but what it predicts is not
        self.wait_firing("DemorlPlannerRoundsFailing", job="mpc_rollout")
        self.wait_over("DemorlRowsQuarantined", "DemorlPoliciesRefused", "DemorlPlannerRoundsFailing")
        stop = threading.Event()
        impatient = threading.Thread(target=self.plan_in_no_time, args=(client, stop))
        impatient.start()
        try:
            self.wait_firing("DemorlPlannerFallbacks")
        finally:
            stop.set()
            impatient.join()
        self.wait_over("DemorlPlannerFallbacks")

    def plan_in_no_time(self, client, stop):
        while not stop.wait(0.5):
            self.assertTrue(all(plan["fallback"] for plan in client.plan(10, "0.000001s")))

    def test_a_model_whose_loss_is_not_finite_before_the_first_scrape(self):
        targets = self.start_up("ill", SIMULATED, *SMALL, "--algorithm", "mdemorl", "--set", "model.log_variance_min=-300",
                                "--set", "model.log_variance_max=-150", "--set", "model.max_non_finite=1",
                                "--set", "sac.learning_starts=50000")
        trainer = next(address for _, service, address in targets if service == "model_trainer")
        wait_until(lambda: "demorl_model_trainer_non_finite_total 1" in metrics_of(trainer), "the first training to be undone")
        self.scrape(targets, factor=4)
        self.wait_firing("DemorlModelTrainerFailing", "DemorlServiceUnhealthy", job="model_trainer")

    def test_a_certificate_that_nobody_renews(self):
        authority = self.folder / "authority"
        make_authority(authority)
        issue(authority, self.folder / "old", days=(-30, 2))
        issue(authority, self.folder / "new", days=(0, 30))
        os.symlink("old", self.folder / "tls")
        metrics = f"127.0.0.1:{free_port()}"
        config = self.folder / "run.textproto"
        config.write_text('run_id: "ill"\n'
                          f'services {{ snapshot {{ address: "127.0.0.1:0" metrics_address: "{metrics}" }} }}\n'
                          f'security {{ tls_dir: "{self.folder / "tls"}" }}\n')
        self.processes.append(subprocess.Popen([BIN / "demorl-snapshot", "--config", config], stdout=subprocess.PIPE,
                                               stderr=subprocess.DEVNULL, text=True))
        self.scrape([("ill", "snapshot", metrics)])
        self.wait_firing("DemorlCertificateExpires", job="snapshot")
        os.symlink("new", self.folder / "next")
        os.replace(self.folder / "next", self.folder / "tls")
        self.wait_over("DemorlCertificateExpires")

    def address_of(self, run, service):
        text = (self.folder / run / "services.textproto").read_text()
        host, port = re.search(rf"\b{service} {{[^}}]*?\baddress: \"([^:]*):(\d+)\"", text).groups()
        return host, int(port)

    def test_weights_that_run_away(self):
        self.scrape(self.start_up("ill", SIMULATED, *SMALL, "--algorithm", "mdemorl", "--set", "sac.learning_rate=1"))
        self.wait_firing("DemorlLearnerSkipsUpdates", job="sac_learner")

    def test_a_robot(self):
        self.scrape(self.start_robot())
        self.wait_for("demorl_gateway_episodes_total > 0")
        os.kill(self.pids["robot", "replay"], signal.SIGSTOP)
        self.wait_firing("DemorlSpoolGrowing", job="leg_gateway")
        os.kill(self.pids["robot", "replay"], signal.SIGCONT)
        self.wait_over("DemorlSpoolGrowing")
        with held_thread(self.pids["robot", "leg_gateway"], "robot-record"):
            self.wait_firing("DemorlGatewayDropsRecords", job="leg_gateway")
        self.wait_over("DemorlGatewayDropsRecords")
        stop = threading.Event()
        stutter = threading.Thread(target=self.stutter, args=(self.pids["robot", "leg_gateway"], stop))
        stutter.start()
        try:
            self.wait_firing("DemorlGatewayMissesTicks", job="leg_gateway")
        finally:
            stop.set()
            stutter.join()
        self.stop_driving()
        self.run_demorl("robot", "estop", "--gateway", self.gateway)
        self.wait_firing("DemorlGatewayFault", job="leg_gateway")
        wait_until(lambda: self.run_demorl("robot", "clear", "--gateway", self.gateway).returncode == 0, "the fault to be cleared")
        self.wait_over("DemorlGatewayFault")

    def stutter(self, pid, stop):
        """Holds a process up for a tenth of each half second."""
        while not stop.wait(0.4):
            os.kill(pid, signal.SIGSTOP)
            time.sleep(0.1)
            os.kill(pid, signal.SIGCONT)


if __name__ == "__main__":
    unittest.main()
