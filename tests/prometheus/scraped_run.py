"""Runs of `demorl up` whose services a real Prometheus scrapes once a second. Standard library only."""

import json
import math
import re
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

import monitoring

sys.path.insert(0, str(monitoring.ROOT / "tests" / "e2e"))
from free_ports import free_port  # noqa: E402
from support import BIN, RunTest, service_pids, wait_until  # noqa: E402

SIMULATED = ["replay", "snapshot", "sac_learner", "model_trainer", "mpc_rollout", "actor"]
ON_ROBOT = ["replay", "snapshot", "sac_learner", "leg_gateway"]
ROBOT_CONFIG = BIN.parent / "share" / "demorl" / "robots" / "leg_emulated.textproto"


def metrics_of(address):
    """What a service says when it is scraped; nothing while it starts."""
    try:
        with urllib.request.urlopen(f"http://{address}/metrics", timeout=30) as answer:
            return answer.read().decode()
    except (urllib.error.URLError, ConnectionError):
        return ""


class Prometheus:
    """A server of its own with the rules given; `targets` are (run, job, address)."""

    def __init__(self, folder, targets, rules=(monitoring.PROMETHEUS / "rules.yaml", monitoring.PROMETHEUS / "alerts.yaml")):
        self.port = free_port()
        config = folder / "prometheus.json"  # of which YAML is a superset
        jobs = [{"job_name": f"{run}-{job}-{address}", "static_configs": [{"targets": [address], "labels": {"run": run, "job": job}}]}
                for run, job, address in targets]
        config.write_text(json.dumps({"global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
                                      "rule_files": [str(path) for path in rules], "scrape_configs": jobs}))
        self.log = (folder / "prometheus.log").open("w")
        self.process = subprocess.Popen(
            ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={folder / 'tsdb'}",
             f"--web.listen-address=127.0.0.1:{self.port}"], stdout=self.log, stderr=subprocess.STDOUT)
        wait_until(lambda: self.has("vector(1)"), "Prometheus to start")

    def query(self, expression):
        return self.get("query", query=expression)

    def query_range(self, expression, seconds, step):
        """The last so many seconds, as a dashboard asks for them."""
        now = time.time() // step * step
        return self.get("query_range", query=expression, start=now - seconds, end=now, step=step)

    def get(self, endpoint, **parameters):
        url = f"http://127.0.0.1:{self.port}/api/v1/{endpoint}?" + urllib.parse.urlencode(parameters)
        with urllib.request.urlopen(url, timeout=30) as answer:
            return json.load(answer)["data"]["result"]

    def has(self, expression):
        """Whether the query returns a number; false as well while the server starts."""
        try:
            return any(not math.isnan(float(sample["value"][1])) for sample in self.query(expression))
        except (urllib.error.URLError, ConnectionError):
            return False

    def firing(self, **labels):
        """Names of the alerts that fire, with these labels."""
        matchers = "".join(f', {name}="{value}"' for name, value in labels.items())
        return {sample["metric"]["alertname"] for sample in self.query(f'ALERTS{{alertstate="firing"{matchers}}}')}

    def stop(self):
        self.process.terminate()
        self.process.wait(20)
        self.log.close()


def faster_rules(folder, factor):
    """Copies of rules and alerts whose windows and patience are shorter by `factor`, and that call a spool large at 16 KiB."""
    paths = []
    for name in ("rules.yaml", "alerts.yaml"):
        def shorten(match):
            seconds = int(match[2]) * (60 if match[3] == "m" else 1)
            return f"{match[1]}{max(1, round(seconds / factor))}s"
        text = re.sub(r"(\[|for: |offset )(\d+)([ms])\b", shorten, (monitoring.PROMETHEUS / name).read_text())
        text = re.sub(r"\b(\d+) \* 60$", lambda match: str(int(match[1]) * 60 / factor), text, flags=re.MULTILINE)
        paths.append(folder / name)
        paths[-1].write_text(text.replace("16777216", "16384"))
    return paths


class ScrapedRunTest(RunTest):
    """A test that starts runs, robots among them, and the Prometheus that scrapes them."""

    def setUp(self):
        super().setUp()
        self.outputs = {}  # what each `demorl up` and `demorl follow` has said
        self.pids = {}  # by run and service
        self.is_driven = False
        self.prometheus = None

    def tearDown(self):
        self.stop_driving()
        if self.prometheus is not None:
            self.prometheus.stop()
        super().tearDown()

    def start_up(self, run, services, *arguments, prefix=()):
        """Starts `demorl up`, after the words of `prefix`, and answers with its targets for Prometheus."""
        addresses = {service: f"127.0.0.1:{free_port()}" for service in services}
        settings = [part for service, address in addresses.items()
                    for part in ("--set", f"services.{service}.metrics_address={address}")]
        command = [*prefix, BIN / "demorl", "up", *arguments, *settings, "--steps", "100000", "--out", self.folder / run]
        process = subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.processes.append(process)
        for service, pid in service_pids(process, services).items():
            self.pids[run, service] = pid
        self.keep_output(process)
        return [(run, service, address) for service, address in addresses.items()]

    def start_evaluator(self, run):
        """`demorl follow` on the services of a run; its targets."""
        address = f"127.0.0.1:{free_port()}"
        self.keep_output(self.start("follow", "--config", self.folder / run / "services.textproto", "--stay",
                                    "--out", self.folder / f"{run}-evaluated", "--metrics-address", address))
        return [(run, "evaluator", address)]

    def keep_output(self, process):
        output = self.outputs[process] = []
        threading.Thread(target=lambda: output.extend(process.stdout), daemon=True).start()

    def start_robot(self, *arguments):
        """A run on an emulated leg that an operator drives; its targets."""
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
                                "--set", f"services.leg_gateway.address={self.gateway}", *arguments)
        self.drive()
        return targets

    def drive(self):
        self.is_driven = True
        self.operator = threading.Thread(target=self.keep_driving, daemon=True)
        self.operator.start()

    def stop_driving(self):
        if self.is_driven:
            self.is_driven = False
            self.operator.join(60)

    def keep_driving(self):
        """Arms, and clears what stops the leg where random torques meet a limit."""
        while self.is_driven:
            self.run_demorl("robot", "clear", "--gateway", self.gateway)
            arming = self.start("robot", "arm", "--gateway", self.gateway)
            while self.is_driven and arming.poll() is None:
                time.sleep(0.2)
            arming.terminate()
            arming.wait()

    def wait_for(self, expression, timeout=300):
        """Until Prometheus answers the query with a number."""
        wait_until(lambda: self.all_run() and self.prometheus.has(expression), expression, timeout)

    def all_run(self):
        for process, output in self.outputs.items():
            if process.poll() is not None:
                raise AssertionError(f"{' '.join(map(str, process.args[1:2]))} ended:\n" + "".join(output))
        return True
