"""Runs a program of an image as an engine would, without one: its own processes and file system, the root read-only,
no capabilities, the image's user. Needs root and the images of tools/images."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
LAUNCHER = pathlib.Path(__file__).with_name("launcher.py")


def buildah(*arguments):
    command = [ROOT / "tools/images", "--buildah", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def version():
    text = (ROOT / "CMakeLists.txt").read_text()
    return text.split("project(demorl VERSION ")[1].split()[0]


def image_name(target, torch="debian"):
    return f"localhost/demorl/{target}:{version()}{'-cuda' if torch == 'cuda' else ''}"


def inspect(image):
    return json.loads(buildah("inspect", "--type", "image", image))["OCIv1"]


class Container:
    """A file system of an image that is thrown away at the end, and at most one program in it."""

    def __init__(self, target, name=None, torch="debian"):
        self.name = name or target
        image = image_name(target, torch)
        self.config = inspect(image)["config"]
        self.id = buildah("from", "--pull-never", image)
        self.root = pathlib.Path(buildah("mount", self.id))
        self.process = None
        self.log = tempfile.NamedTemporaryFile(prefix=f"{self.name}.", suffix=".log")

    def start(self, command=None, binds=(), network=None, environment=None):
        """`binds` are (folder or file here, path inside, whether read-only); `network` is a namespace's name, or "none"."""
        user, group = self.config["User"].split(":")
        plan = {
            "root": str(self.root), "binds": [[str(source), target, bool(only)] for source, target, only in binds],
            "command": [*self.config["Entrypoint"], *(self.config["Cmd"] if command is None else command)],
            "environment": {**dict(entry.split("=", 1) for entry in self.config.get("Env") or []), **(environment or {})},
            "user": int(user), "group": int(group), "hostname": self.name,
        }
        prefix = ["ip", "netns", "exec", network] if network and network != "none" else []
        alone = ["--net"] if network == "none" else []
        self.process = subprocess.Popen(
            [*prefix, "unshare", *alone, "--mount", "--uts", "--pid", "--fork", "--kill-child", sys.executable, "-B", LAUNCHER,
             json.dumps(plan)], stdin=subprocess.DEVNULL, stdout=self.log, stderr=subprocess.STDOUT)

    def pid(self):
        """Of the program itself, as seen from outside; unshare is its parent."""
        while self.process.poll() is None:
            children = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
            if children:
                return int(children[0])
            time.sleep(0.01)
        raise RuntimeError(f"{self.name} is over:\n{self.text()}")

    def ask(self, command):
        """Runs a command beside the program, as its user, where it is; its exit status and what it said."""
        user, group = self.config["User"].split(":")
        done = subprocess.run(
            ["nsenter", f"--target={self.pid()}", "--mount", "--pid", "--net", "--root", "--wdns=/", f"--setuid={user}",
             f"--setgid={group}", "--", *command], check=False, capture_output=True, text=True)
        return done.returncode, done.stdout + done.stderr

    def stop(self, patience_s=30):
        """Asks it to drain; its exit status."""
        os.kill(self.pid(), signal.SIGTERM)
        return self.process.wait(patience_s)

    def text(self):
        return pathlib.Path(self.log.name).read_text(errors="replace")

    def remove(self):
        if self.process is not None and self.process.poll() is None:
            os.kill(self.pid(), signal.SIGKILL)  # unshare's death would not end what has another user by now
            self.process.wait()
        buildah("rm", self.id)
        self.log.close()
