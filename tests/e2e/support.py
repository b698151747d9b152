"""Drives the demorl programs for the end-to-end tests."""

import csv
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

BIN = pathlib.Path(os.environ["DEMORL_BIN"])

# A learner small enough for a test, on a task that it still has to learn.
SMALL = [
    "--env", "InvertedPendulum-v5",
    "--set", "sac.hidden_sizes=[64,64]", "--set", "sac.batch_size=64", "--set", "sac.learning_starts=300",
    "--set", "sac.updates_per_step=10", "--set", "sac.learning_rate=0.001", "--set", "sac.publish_interval_updates=50",
    "--set", "sac.checkpoint_interval_updates=500",
    "--set", "model.hidden_sizes=[64,64,64]", "--set", "model.weight_decay=[0.00005,0.00005,0.00005,0.0001]",
    "--set", "model.ensemble_size=3", "--set", "model.num_elite_members=2",
    "--set", "sac.real_ratio={start_value: 0.5 end_value: 0.5}",
    "--set", "planner.num_start_states=100", "--set", "planner.population_size=20",
    "--set", "actor.evaluation_interval_steps=500", "--set", "actor.evaluation_episodes=5",
]


class RunTest(unittest.TestCase):
    """A test with a run folder of its own, and programs that do not outlive it."""

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="demorl-e2e-"))
        self.processes = []

    def tearDown(self):
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                try:
                    process.wait(20)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
            process.stdout.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self, *arguments):
        process = subprocess.Popen([BIN / "demorl", *map(str, arguments)], stdout=subprocess.PIPE,
                                   stderr=subprocess.STDOUT, text=True)
        self.processes.append(process)
        return process

    def run_demorl(self, *arguments, timeout=300):
        done = subprocess.run([BIN / "demorl", *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              text=True, timeout=timeout)
        return done

    def must(self, *arguments, timeout=300):
        done = self.run_demorl(*arguments, timeout=timeout)
        self.assertEqual(done.returncode, 0, f"{arguments}\n{done.stdout}\n{done.stderr}")
        return done.stdout


def wait_until(condition, what, timeout=120):
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {timeout} s for {what}")
        time.sleep(0.1)


def read_table(path):
    if not path.exists():
        return []
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def read_summary(run):
    return json.loads((run / "summary.json").read_text())


def service_pids(process, services):
    """Process ids that `demorl up` prints when it starts its services."""
    pids = {}
    while len(pids) < len(services):
        line = process.stdout.readline()
        if not line:
            raise AssertionError("demorl up ended before its services started")
        match = re.match(r"(\w+)\s+pid (\d+)", line)
        if match:
            pids[match[1]] = int(match[2])
    return pids
