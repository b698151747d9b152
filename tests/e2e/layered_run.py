"""A run as a cluster has it: each service a process that reads one folder of configuration layers, here all on loopback."""

import os
import pathlib
import signal
import subprocess

from free_ports import free_port
from support import BIN

PORTS = ("address", "health_address", "metrics_address")


class LayeredRun:
    """Starts what `commands` names: arguments by service, "evaluator" for `demorl follow`. Paths and addresses of a pod in them
    and in the layers are replaced by those of this run. Until close()."""

    def __init__(self, folder, layers, commands, tls=None):
        """`tls`: a folder with a folder of certificates for each of `commands`."""
        self.folder = pathlib.Path(folder)
        self.tls = tls
        self.layers = self.folder / "layers"
        self.layers.mkdir()
        self.commands = dict(commands)
        self.addresses = {name: {port: f"127.0.0.1:{free_port()}" for port in PORTS} for name in commands}
        self.processes = {}
        for name, text in layers.items():
            (self.layers / name).write_text(text)
        (self.layers / "90-local.textproto").write_text(self._local())

    def _local(self):
        lines = ["services {"]
        for name, addresses in self.addresses.items():
            if name != "evaluator":
                fields = "".join(f' {port}: "{address}"' for port, address in addresses.items())
                lines.append(f'  {name} {{{fields} listen_address: "{addresses["address"]}" data_dir: "{self.folder / name}" }}')
        if self.tls:
            lines = [f'security {{ tls_dir: "{self.tls}/${{SERVICE}}" }}', *lines]
        return "\n".join([*lines, "}", f'actor {{ spool_dir: "{self.folder / "actor/spool"}" }}']) + "\n"

    def arguments(self, name, arguments):
        here = {"/etc/demorl/run": str(self.layers), "=/data": f"={self.folder / name}",
                "0.0.0.0:50052": self.addresses.get(name, {}).get("health_address", ""),
                "0.0.0.0:9464": self.addresses.get(name, {}).get("metrics_address", "")}
        replaced = []
        for argument in arguments:
            for there, local in here.items():
                argument = argument.replace(there, local)
            replaced.append(argument)
        return replaced

    def start(self, name):
        program = "demorl" if name == "evaluator" else f"demorl-{name.replace('_', '-')}"
        environment = {**os.environ, "DEMORL_TLS_DIR": f"{self.tls}/{name}"} if self.tls else None
        with open(self.log(name), "ab") as log:
            self.processes[name] = subprocess.Popen([BIN / program, *self.arguments(name, self.commands[name])],
                                                    stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                                                    env=environment)

    def start_all(self):
        for name in self.commands:
            self.start(name)

    def log(self, name):
        return self.folder / f"{name}.log"

    def logs(self):
        return "".join(f"\n{name}:\n{self.log(name).read_text()[-1500:]}" for name in self.processes)

    def is_ready(self, name):
        """As a readiness probe sees it."""
        return subprocess.run([BIN / "demorl-replay", "--check-health", self.addresses[name]["health_address"]],
                              capture_output=True, check=False).returncode == 0

    def stop(self, name):
        """Its exit status."""
        process = self.processes[name]
        process.send_signal(signal.SIGTERM)
        return process.wait(60)

    def close(self):
        for process in self.processes.values():
            if process.poll() is None:
                process.kill()
            process.wait()
