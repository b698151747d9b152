"""Alerts that real faults make fire: services killed or stopped, a full disk, a cut connection, a damaged file, weights that run away.

The alerts are ours with their minutes made shorter (20 times). Takes about eight minutes; needs the programs (DEMORL_BIN),
Debian's prometheus, and unshare for a disk of its own. Run by tools/check-deploy.
"""

import os
import re
import signal
import socket
import subprocess
import threading
import time
import unittest

from scraped_run import SIMULATED, Prometheus, ScrapedRunTest, faster_rules, free_port
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


class FaultsTest(ScrapedRunTest):
    def scrape(self, targets):
        self.prometheus = Prometheus(self.folder, targets, faster_rules(self.folder, FACTOR))

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
        self.assertEqual(self.prometheus.firing(), set())
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
        before = self.prometheus.query(start)[0]["value"][1]
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
        self.assertEqual(self.prometheus.firing(), {"DemorlPolicyStale"})
        link.is_open.set()
        self.wait_over("DemorlPolicyStale")

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
