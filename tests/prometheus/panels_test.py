"""Real runs, scraped by a real Prometheus: the query of every panel returns data, or is listed here with its reason.

One run learns in simulation, the other on an emulated leg behind its gateway. Takes about two minutes; needs the programs
(DEMORL_BIN) and Debian's prometheus. Run by tools/check-deploy.
"""

import json
import math
import socket
import subprocess
import sys
import threading
import time
import unittest
import urllib.error
import urllib.parse
import urllib.request

import monitoring

sys.path.insert(0, str(monitoring.ROOT / "tests" / "e2e"))
from support import BIN, SMALL, RunTest, service_pids, wait_until  # noqa: E402

SECONDS = 30
SIMULATED = ["replay", "snapshot", "sac_learner", "model_trainer", "mpc_rollout", "actor"]
ON_ROBOT = ["replay", "snapshot", "sac_learner", "leg_gateway"]
ROBOT_CONFIG = BIN.parent / "share" / "demorl" / "robots" / "leg_emulated.textproto"

# Queries (dashboard, panel, refId) that return nothing here: why.
FAULT = "only after a fault"
PLANS = "only where an actor or a robot acts by plans"
WITHOUT_DATA = {
    ("plumbing", "Quarantined and repeated", "A"): FAULT,
    ("plumbing", "Publications", "B"): FAULT,
    ("plumbing", "Errors by method", "A"): FAULT,
    ("plumbing", "Errors by method, at the client", "A"): FAULT,
    ("plumbing", "Duration of an online plan", "A"): PLANS,
    ("plumbing", "Duration of an online plan", "B"): PLANS,
}
# Told of a machine that is too busy for a control loop, or of a leg that moves at random; not of our system.
ALERTS_OF_THE_MACHINE = {"DemorlGatewayMissesTicks", "DemorlGatewayFault", "DemorlGatewayDropsRecords"}


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Prometheus:
    """A server of its own, with our rules, that scrapes once a second."""

    def __init__(self, folder, targets):
        self.port = free_port()
        self.config = folder / "prometheus.json"  # YAML's subset
        jobs = [{"job_name": f"{run}-{job}", "static_configs": [{"targets": [address], "labels": {"run": run, "job": job}}]}
                for run, job, address in targets]
        self.config.write_text(json.dumps({
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(monitoring.PROMETHEUS / name) for name in ("rules.yaml", "alerts.yaml")],
            "scrape_configs": jobs}))
        self.log = (folder / "prometheus.log").open("w")
        self.process = subprocess.Popen(
            ["prometheus", f"--config.file={self.config}", f"--storage.tsdb.path={folder / 'tsdb'}",
             f"--web.listen-address=127.0.0.1:{self.port}"], stdout=self.log, stderr=subprocess.STDOUT)

    def query(self, expression):
        url = f"http://127.0.0.1:{self.port}/api/v1/query?" + urllib.parse.urlencode({"query": expression})
        with urllib.request.urlopen(url, timeout=30) as answer:
            return json.load(answer)["data"]["result"]

    def has(self, expression):
        """Whether the query returns a number; false as well while the server starts."""
        try:
            return any(not math.isnan(float(sample["value"][1])) for sample in self.query(expression))
        except (urllib.error.URLError, ConnectionError):
            return False

    def stop(self):
        self.process.terminate()
        self.process.wait(20)
        self.log.close()


def with_values(expression):
    """The query as Grafana sends it, with All chosen for each variable."""
    for variable, value in (("$__rate_interval", "15s"), ("$run", ".+"), ("$job", ".+"), ("$instance", ".+")):
        expression = expression.replace(variable, value)
    return expression


class PanelsTest(RunTest):
    def setUp(self):
        super().setUp()
        self.outputs = {}  # what each `demorl up` has said
        self.is_driven = False

    def start_up(self, run, services, *arguments):
        """Starts `demorl up` and answers with its process and its services' metrics addresses."""
        addresses = {service: f"127.0.0.1:{free_port()}" for service in services}
        settings = [part for service, address in addresses.items()
                    for part in ("--set", f"services.{service}.metrics_address={address}")]
        process = self.start("up", *arguments, *settings, "--steps", "100000", "--out", self.folder / run)
        service_pids(process, services)
        output = self.outputs[process] = []
        threading.Thread(target=lambda: output.extend(process.stdout), daemon=True).start()
        return [(run, service, address) for service, address in addresses.items()]

    def start_robot(self):
        ports = self.folder / "ports"
        self.processes.append(subprocess.Popen([BIN / "demorl-robot-emulator", "--robot", "leg", "--folder", ports],
                                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True))
        wait_until(lambda: (ports / "bus0").exists(), "the emulated bus")
        config = self.folder / "robot.textproto"
        config.write_text(ROBOT_CONFIG.read_text().replace('ports: "bus0"', f'ports: "{ports / "bus0"}"'))
        self.gateway = f"127.0.0.1:{free_port()}"
        targets = self.start_up("robot", ON_ROBOT, "--env", "Leg2R-v0", "--algorithm", "sac", "--config", config,
                                "--set", "sac.hidden_sizes=[32,32]", "--set", "sac.learning_starts=300",
                                "--set", "sac.updates_per_step=0.1", "--set", "sac.publish_interval_updates=10",
                                "--set", f"services.leg_gateway.address={self.gateway}")
        self.is_driven = True
        operator = threading.Thread(target=self.drive, daemon=True)
        operator.start()
        return targets, operator

    def drive(self):
        """The operator: arms, and clears what stops the leg where random torques meet a limit."""
        while self.is_driven:
            self.run_demorl("robot", "clear", "--gateway", self.gateway)
            arming = self.start("robot", "arm", "--gateway", self.gateway)
            while self.is_driven and arming.poll() is None:
                time.sleep(0.2)
            arming.terminate()
            arming.wait()

    def all_run(self):
        for process, output in self.outputs.items():
            if process.poll() is not None:
                raise AssertionError("demorl up ended:\n" + "".join(output))
        return True

    def test_every_panel_has_data_or_a_reason(self):
        simulated = self.start_up("simulated", SIMULATED, *SMALL, "--algorithm", "mdemorl")
        robot, operator = self.start_robot()
        prometheus = Prometheus(self.folder, simulated + robot)
        try:
            for sign in ("demorl_mpc_rollout_rounds_total > 0", "demorl_actor_last_return != 0",
                         "demorl_gateway_episodes > 0", "demorl_gateway_policy_version > 0"):
                wait_until(lambda: self.all_run() and prometheus.has(sign), sign, timeout=300)
            time.sleep(SECONDS)  # what is measured is a span of time
            self.check_panels(prometheus)
            firing = {sample["metric"]["alertname"] for sample in prometheus.query('ALERTS{alertstate="firing"}')}
            self.assertEqual(firing - ALERTS_OF_THE_MACHINE, set())
        finally:
            self.is_driven = False
            operator.join(60)
            prometheus.stop()

    def check_panels(self, prometheus):
        empty, count = set(), 0
        for name, dashboard in monitoring.load_dashboards().items():
            for panel in monitoring.panels(dashboard):
                for target in panel["targets"]:
                    count += 1
                    if not prometheus.has(with_values(target["expr"])):
                        empty.add((name, panel["title"], target["refId"]))
        unexpected = sorted(empty - set(WITHOUT_DATA))
        self.assertEqual(unexpected, [], f"{len(unexpected)} queries returned nothing")
        stale = sorted(key for key, reason in WITHOUT_DATA.items() if reason != FAULT and key not in empty)
        self.assertEqual(stale, [], "these return data; take them off the list")
        print(f"{count} queries: {count - len(empty)} returned data, {len(empty)} are listed with their reasons",
              file=sys.stderr)


if __name__ == "__main__":
    unittest.main()
