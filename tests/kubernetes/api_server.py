"""A real API server of Kubernetes with its store, and no controllers: it judges objects, and runs nothing."""

import json
import pathlib
import secrets
import subprocess
import sys
import tempfile
import time

import chart
from chart import ROOT, TOOLS, run

sys.path.insert(0, str(ROOT / "tests/e2e"))
from free_ports import free_port  # noqa: E402  (needs the path above)


class ApiServer:
    """Until close(). `kubectl` and `helm` speak to it as administrator."""

    def __init__(self):
        self._folder = tempfile.TemporaryDirectory()
        self.folder = pathlib.Path(self._folder.name)
        self._processes = []
        try:
            self._start()
        except BaseException:
            self.close()
            raise

    def _start(self):
        etcd, peer, port, token = free_port(), free_port(), free_port(), secrets.token_hex(16)
        self._run("etcd", "etcd", "--data-dir", self.folder / "etcd", "--listen-client-urls", f"http://127.0.0.1:{etcd}",
                  "--advertise-client-urls", f"http://127.0.0.1:{etcd}", "--listen-peer-urls", f"http://127.0.0.1:{peer}",
                  "--initial-advertise-peer-urls", f"http://127.0.0.1:{peer}", "--initial-cluster", f"default=http://127.0.0.1:{peer}")
        run("openssl", "genrsa", "-out", self.folder / "accounts.key", "2048")
        (self.folder / "tokens.csv").write_text(f"{token},admin,admin,system:masters\n")
        self._run("kube-apiserver", TOOLS / "bin/kube-apiserver", f"--etcd-servers=http://127.0.0.1:{etcd}",
                  f"--secure-port={port}", "--bind-address=127.0.0.1", f"--cert-dir={self.folder / 'certificates'}",
                  "--service-account-issuer=https://kubernetes.default.svc",
                  f"--service-account-key-file={self.folder / 'accounts.key'}",
                  f"--service-account-signing-key-file={self.folder / 'accounts.key'}",
                  f"--token-auth-file={self.folder / 'tokens.csv'}", "--service-cluster-ip-range=10.0.0.0/24",
                  "--authorization-mode=RBAC")
        self.kubeconfig = self.folder / "kubeconfig"
        self.kubeconfig.write_text(json.dumps({
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "clusters": [{"name": "test", "cluster": {"server": f"https://127.0.0.1:{port}", "insecure-skip-tls-verify": True}}],
            "users": [{"name": "admin", "user": {"token": token}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "admin"}}]}))
        self._wait(lambda: run(*self._kubectl("get", "--raw", "/readyz")).stdout == "ok", "kube-apiserver to be ready")

    def _run(self, name, *command):
        with open(self.folder / f"{name}.log", "wb") as log:
            self._processes.append(subprocess.Popen([str(part) for part in command], stdout=log, stderr=log, stdin=subprocess.DEVNULL))

    def _wait(self, is_so, what, timeout=300):
        end = time.monotonic() + timeout
        while not is_so():
            dead = [process.args[0] for process in self._processes if process.poll() is not None]
            if dead or time.monotonic() > end:
                logs = "".join(f"{log.name}:\n{log.read_text()[-3000:]}" for log in self.folder.glob("*.log"))
                raise RuntimeError(f"waited for {what}; ended: {dead}\n{logs}")
            time.sleep(0.5)

    def _kubectl(self, *arguments):
        return [TOOLS / "bin/kubectl", "--kubeconfig", self.kubeconfig, "--cache-dir", self.folder / "cache", *arguments]

    def kubectl(self, *arguments, **options):
        """The finished process."""
        return run(*self._kubectl(*arguments), **options)

    def helm(self, *arguments):
        """The finished process."""
        return chart.helm(*arguments, "--kubeconfig", self.kubeconfig, "--repository-cache", self.folder / "cache")

    def get(self, *arguments):
        """Objects as the server has them."""
        done = self.kubectl("get", "-o", "json", *arguments)
        if done.returncode != 0:
            raise RuntimeError(done.stderr)
        return json.loads(done.stdout)

    def install_crds(self):
        for file in sorted((TOOLS / "crds").glob("*.yaml")):
            # cert-manager's are templates themselves.
            text = "".join(line for line in file.read_text().splitlines(True) if "{{" not in line)
            done = self.kubectl("apply", "--server-side", "-f", "-", input=text)
            if done.returncode != 0:
                raise RuntimeError(f"{file.name}: {done.stderr}")
        self._wait(lambda: self.kubectl("wait", "--for", "condition=Established", "crd", "--all", "--timeout=10s").returncode == 0,
                   "the custom resources")

    def close(self):
        # Nothing of them is kept, and an API server takes a minute and more to end in order.
        for process in reversed(self._processes):
            process.kill()
            process.wait()
        self._folder.cleanup()
