"""tools/setup on made-up machines: fakes of its commands stand before the real ones in PATH."""

import os
import pathlib
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PACKAGES = [line.split() for line in (ROOT / "tools/packages/debian.txt").read_text().splitlines() if line[0] != "#"]
WHEELS = [line.split() for line in (ROOT / "tools/packages/wheels.txt").read_text().splitlines() if line[0] != "#"]


class SetupTest(unittest.TestCase):
    """`installed` is what the fake dpkg-query answers; the fake apt-get notes its arguments and installs nothing."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.installed = {package: (want[0] if want else "1.0") + "0" for _, package, *want in PACKAGES}
        for _, wheel_folder, *_ in WHEELS:
            (self.folder / "cache" / wheel_folder).mkdir(parents=True, exist_ok=True)
        self.release = 'ID=debian\nPRETTY_NAME="Debian GNU/Linux 12"\n'
        self.memory_kib = 8 << 20
        self.fake("apt-get", 'echo "apt-get $*" >> "$FOLDER/calls"\n[[ "$*" != *install* ]]')
        self.fake("apt-cache", "shift; for name; do printf '%s:\\n  Candidate: 1.0\\n' \"$name\"; done")
        self.fake("sudo", 'echo "sudo $*" >> "$FOLDER/calls"\nexit 1')
        self.fake("python3", 'echo "python3 $*" >> "$FOLDER/calls"\nexit 1')

    def fake(self, name, script):
        path = self.folder / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/bash\nFOLDER={self.folder}\n{script}\n")
        path.chmod(0o755)

    def run_setup(self, *arguments, **environment):
        answers = "".join(f"{package} {version} ii \\n" for package, version in self.installed.items())
        self.fake("dpkg-query", f"printf '{answers}'")
        (self.folder / "os-release").write_text(self.release)
        (self.folder / "meminfo").write_text(f"MemAvailable: {self.memory_kib} kB\n")
        variables = os.environ | {
            "PATH": f"{self.folder}/bin:{os.environ['PATH']}", "DEMORL_CACHE_DIR": str(self.folder / "cache"),
            "DEMORL_OS_RELEASE": str(self.folder / "os-release"), "DEMORL_MEMINFO": str(self.folder / "meminfo"),
            "DEMORL_PYTHON": str(self.folder / "bin" / "python3")}
        variables |= environment
        return subprocess.run([ROOT / "tools/setup", *arguments], env=variables, capture_output=True, text=True,
                              stdin=subprocess.DEVNULL, check=False)

    def calls(self):
        path = self.folder / "calls"
        return path.read_text() if path.exists() else ""

    def assert_refused(self, result, *parts):
        self.assertNotEqual(result.returncode, 0, result.stderr)
        for part in parts:
            self.assertIn(part, result.stderr)

    def test_is_silent_and_calls_nothing_when_nothing_is_missing(self):
        result = self.run_setup()
        self.assertEqual((result.returncode, result.stdout, result.stderr), (0, "", ""))
        self.assertEqual(self.calls(), "")

    def test_installs_exactly_what_is_missing_and_says_so(self):
        del self.installed["cmake"]
        result = self.run_setup()
        self.assertIn("installing 1 Debian packages", result.stderr)
        self.assertRegex(self.calls(), r"install -y --no-install-recommends cmake\n")

    def test_names_the_packages_that_cannot_be_had(self):
        del self.installed["libtorch-dev"]
        self.fake("apt-cache", "printf 'libtorch-dev:\\n  Candidate: (none)\\n'")
        self.assert_refused(self.run_setup(), "do not have: libtorch-dev", "Debian 12")

    def test_refuses_other_versions_unless_told(self):
        self.installed["libgrpc++-dev"] = "1.44.0-3"
        self.assert_refused(self.run_setup(), "libgrpc++-dev is 1.44.0-3; want 1.51.*", "DEMORL_ANY_VERSION=1")
        self.assertEqual(self.run_setup(DEMORL_ANY_VERSION="1").returncode, 0)

    def test_refuses_systems_unlike_debian(self):
        del self.installed["cmake"]
        self.release = 'ID=fedora\nPRETTY_NAME="Fedora 40"\n'
        self.assert_refused(self.run_setup(), "'Fedora 40'", "want Debian 12")
        self.assertEqual(self.calls(), "")

    def test_refuses_short_memory_and_disk_unless_told(self):
        del self.installed["cmake"]
        self.memory_kib = 1 << 20
        self.assert_refused(self.run_setup(), "1024 MiB of memory", "DEMORL_IGNORE_SPACE=1")
        self.memory_kib = 8 << 20
        self.fake("df", "printf 'head\\nfs 9 9 100 9%% /\\n'")
        self.assert_refused(self.run_setup(), "100 MiB of disk", "DEMORL_IGNORE_SPACE=1")
        self.assertEqual(self.calls(), "")
        self.run_setup(DEMORL_IGNORE_SPACE="1")
        self.assertIn("install", self.calls())

    def test_fetches_a_missing_wheel_and_reports_a_failure(self):
        (self.folder / "cache" / "mujoco-3.3.7").rmdir()
        self.assert_refused(self.run_setup(), "fetching mujoco-3.3.7", "could not fetch mujoco-3.3.7")
        self.assertRegex(self.calls(), "python3 .*fetch_wheels.py .* mujoco-3.3.7")

    def test_knows_its_arguments(self):
        self.assert_refused(self.run_setup("--all"), "'--all'", "--tests")


if __name__ == "__main__":
    unittest.main()
