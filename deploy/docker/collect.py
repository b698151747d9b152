#!/usr/bin/env python3
"""Collects what one installed program needs to run alone: collect.py PROGRAM [SHARED...]

Below --out the program, its shared libraries at the path of their names, the folders SHARED of share/demorl, users,
licences and a list of all parts as CycloneDX; below --state the folder of its data and other folders that it may write
to. Every file gets the time SOURCE_DATE_EPOCH, so that the same parts make the same layer.
"""

import argparse
import datetime
import json
import os
import pathlib
import re
import shutil
import subprocess
import uuid

USER = 65532
LIBRARY_FOLDER = pathlib.Path("usr/lib/x86_64-linux-gnu")
LOADER_FOLDER = pathlib.Path("usr/lib64")
LOADER = "/lib64/ld-linux-x86-64.so.2"
WHEEL_FILES = {"libmujoco": "mujoco"}  # what is installed from a wheel, and so of no Debian package


# Of the driver, which the container's runtime brings in from the host.
OF_THE_HOST = {"libcuda.so.1", "libnvidia-ml.so.1"}
# What LibTorch opens by name when it first needs it: the compiler of fused kernels.
OPENED_LATER = ("torch/lib/libcaffe2_nvrtc.so", "nvidia/cu13/lib/libnvrtc.so.*", "nvidia/cu13/lib/libnvrtc-builtins.so.*")


def libraries_of(program, search):
    """Returns {name: path} of all shared libraries that the loader maps for a program; `search` are folders of some."""
    path = ["--library-path", ":".join(map(str, search))] if search else []
    listed = subprocess.run([LOADER, *path, "--list", program], check=True, capture_output=True, text=True).stdout
    missing = set(re.findall(r"(\S+) => not found", listed)) - OF_THE_HOST
    if missing:
        raise SystemExit(f"{program} misses {', '.join(sorted(missing))}")
    found = {name: pathlib.Path(path) for name, path in re.findall(r"(\S+) => (/\S+) ", listed)}
    found[pathlib.Path(LOADER).name] = pathlib.Path(LOADER)
    return found


def read_owners():
    """Returns {file: package} of everything that dpkg has installed, by the path with /usr."""
    owners = {}
    for listing in pathlib.Path("/var/lib/dpkg/info").glob("*.list"):
        for line in listing.read_text().splitlines():
            owners[re.sub(r"^/(lib|lib64|bin|sbin)/", r"/usr/\1/", line)] = listing.stem
    return owners


def debian_package(name):
    fields = ["Package", "Version", "Architecture", "source:Package", "source:Version", "Maintainer", "Homepage"]
    form = "\\n".join(f"${{{field}}}" for field in fields)
    shown = subprocess.run(["dpkg-query", "-W", "-f", form, name], check=True, capture_output=True, text=True).stdout
    return dict(zip(fields, shown.split("\n")))


def debian_component(package):
    name, version, architecture = package["Package"], package["Version"], package["Architecture"]
    source = f"{package['source:Package']}@{package['source:Version']}".replace("+", "%2B")
    url = f"pkg:deb/debian/{name.replace('+', '%2B')}@{version.replace('+', '%2B').replace(':', '%3A')}"
    url += f"?arch={architecture}&distro=debian-12&upstream={source.replace(':', '%3A').replace('@', '%40')}"
    return {"type": "library", "bom-ref": url, "name": name, "version": version, "purl": url,
            "publisher": package["Maintainer"]}


def wheel_component(information):
    fields = dict(re.findall(r"^(Name|Version|License-Expression|License): (.+)$", (information / "METADATA").read_text(),
                             re.MULTILINE))
    url = f"pkg:pypi/{fields['Name'].lower()}@{fields['Version']}"
    component = {"type": "library", "bom-ref": url, "name": fields["Name"], "version": fields["Version"], "purl": url}
    licence = fields.get("License-Expression", fields.get("License"))
    if licence:
        component["licenses"] = [{"license": {"name": licence}}]
    return component


def licences_of(information):
    """Files of a wheel that are named like a licence; some wheels keep them beside their libraries."""
    for line in (information / "RECORD").read_text().splitlines():
        path = information.parent / line.split(",")[0]
        if re.match(r"(?i)(licen[cs]e|notice|copying)\b", path.name) and path.is_file():
            yield path


class Collection:
    """What goes into one image."""

    def __init__(self, arguments):
        self.program = arguments.program
        self.out = arguments.out
        self.state = arguments.state
        self.installed = arguments.installed
        self.cache = arguments.cache.resolve()
        self.torch = arguments.torch
        self.others = arguments.others
        self.writable = arguments.writable
        self.version = arguments.version
        self.epoch = arguments.epoch
        self.packages = set()
        self.wheels = set()

    def copy(self, source, target):
        target = self.out / target
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
        target.chmod(0o755 if os.access(source, os.X_OK) else 0o644)

    def add_program(self):
        program = self.installed / "usr/bin" / self.program
        self.copy(program, f"usr/bin/{self.program}")
        owners = read_owners()
        libraries = self.find_libraries(program)
        for other in self.others:
            self.copy(other, other.relative_to("/"))
            self.note_origin(other, owners)
            libraries.update(libraries_of(other, []))
        for name, path in sorted(libraries.items()):
            path = path.resolve()
            self.copy(path, LOADER_FOLDER / name if name in LOADER else LIBRARY_FOLDER / name)
            self.note_origin(path, owners)
        for folder in ("lib", "lib64"):
            (self.out / folder).symlink_to(f"usr/{folder}")

    def find_libraries(self, program):
        if self.torch != "cuda":
            return libraries_of(program, [])
        search = sorted([*self.cache.glob("torch-cuda-*/torch/lib"), *self.cache.glob("torch-cuda-*/nvidia/*/lib")])
        libraries = libraries_of(program, search)
        if "libtorch_cuda.so" in libraries:
            later = [path for pattern in OPENED_LATER for path in self.cache.glob(f"torch-cuda-*/{pattern}")]
            libraries.update({path.name: path for path in later})
        return libraries

    def note_origin(self, path, owners):
        if package := owners.get(str(path)):
            self.packages.add(package)
        elif path.is_relative_to(self.installed):
            self.wheels.add(WHEEL_FILES[path.name.split(".")[0]])
        elif path.is_relative_to(self.cache):
            self.wheels.add(self.wheel_of(path))
        else:
            raise SystemExit(f"{path} belongs to no package")

    def wheel_of(self, path):
        """The name of the wheel whose RECORD lists a file of the cache."""
        folder = self.cache / path.relative_to(self.cache).parts[0]
        listed = str(path.relative_to(folder))
        for record in folder.glob("*.dist-info/RECORD"):
            if f"\n{listed}," in "\n" + record.read_text():
                return record.parent.name.split("-")[0]
        raise SystemExit(f"no wheel in {folder} lists {listed}")

    def add_shared(self, names):
        for name in names:
            shutil.copytree(self.installed / "usr/share/demorl" / name, self.out / "usr/share/demorl" / name)
        if "assets" in names:
            self.wheels.add("gymnasium")

    def add_system_files(self):
        etc = self.out / "etc"
        (etc / "demorl").mkdir(parents=True)
        (etc / "passwd").write_text("root:x:0:0:root:/:/sbin/nologin\n"
                                    f"demorl:x:{USER}:{USER}:demorl:/var/lib/demorl:/sbin/nologin\n")
        (etc / "group").write_text(f"root:x:0:\ndemorl:x:{USER}:\n")
        (etc / "nsswitch.conf").write_text("passwd: files\ngroup: files\nhosts: files dns\n")
        shutil.copyfile("/etc/os-release", etc / "os-release")
        # By it NVIDIA's container runtime knows in which folder the loader looks for the driver's libraries.
        shutil.copyfile("/etc/debian_version", etc / "debian_version")
        (self.out / "tmp").mkdir()
        (self.out / "tmp").chmod(0o1777)
        for name in ("demorl", *self.writable):
            (self.state / name).mkdir(parents=True)
            (self.state / name).chmod(0o750)

    def wheel_information(self, name):
        return next(self.cache.glob(f"*/{name}-*.dist-info"))

    def add_licences(self):
        documents = pathlib.Path("usr/share/doc")
        self.copy(self.installed / "usr/share/doc/demorl/LICENSE", "usr/share/doc/demorl/copyright")
        for package in self.packages:
            name = package.split(":")[0]
            self.copy(pathlib.Path(f"/usr/share/doc/{name}/copyright").resolve(), f"usr/share/doc/{name}/copyright")
        for wheel in self.wheels:
            licences = list(licences_of(self.wheel_information(wheel)))
            if not licences:
                raise SystemExit(f"the wheel {wheel} has no licence")
            for licence in licences:
                self.copy(licence, documents / wheel.replace("_", "-") / licence.name)

    def add_package_lists(self):
        """For people CycloneDX, for scanners what dpkg says of each package."""
        described = [debian_package(name) for name in sorted(self.packages)]
        components = [debian_component(package) for package in described]
        components += [wheel_component(self.wheel_information(name)) for name in sorted(self.wheels)]
        text = json.dumps(self.bill_of_materials(components), indent=1) + "\n"
        bill = self.out / f"usr/share/sbom/{self.program}.cdx.json"
        bill.parent.mkdir(parents=True)
        bill.write_text(text)
        status = self.out / "var/lib/dpkg/status.d"
        status.mkdir(parents=True)
        for package in described:
            (status / package["Package"]).write_text(
                f"Package: {package['Package']}\nStatus: install ok installed\nMaintainer: {package['Maintainer']}\n"
                f"Architecture: {package['Architecture']}\n"
                f"Source: {package['source:Package']} ({package['source:Version']})\nVersion: {package['Version']}\n")

    def bill_of_materials(self, components):
        own = f"pkg:generic/{self.program}@{self.version}"
        references = [component["bom-ref"] for component in components]
        time = datetime.datetime.fromtimestamp(self.epoch, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        return {
            "bomFormat": "CycloneDX", "specVersion": "1.5",
            "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, ' '.join([own, *references]))}", "version": 1,
            "metadata": {"timestamp": time,
                         "component": {"type": "application", "bom-ref": own, "name": self.program,
                                       "version": self.version, "licenses": [{"license": {"id": "MIT"}}]}},
            "components": components,
            "dependencies": [{"ref": own, "dependsOn": references}, *({"ref": name} for name in references)],
        }

    def set_times(self):
        for top in (self.out, self.state):
            for path in [top, *top.rglob("*")]:
                os.utime(path, (self.epoch, self.epoch), follow_symlinks=False)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("program")
    parser.add_argument("shared", nargs="*")
    parser.add_argument("--with", dest="others", action="append", type=pathlib.Path, default=[],
                        help="a program of Debian's that this one calls")
    parser.add_argument("--writable", nargs="+", default=[], metavar="FOLDER",
                        help="below /var/lib; an engine's volume that begins there is the user's")
    parser.add_argument("--installed", type=pathlib.Path, default=pathlib.Path("/install"))
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("/root-fs"))
    parser.add_argument("--state", type=pathlib.Path, default=pathlib.Path("/state"))
    parser.add_argument("--cache", type=pathlib.Path, default=pathlib.Path(os.environ.get("DEMORL_CACHE_DIR", "/")))
    parser.add_argument("--torch", choices=("debian", "cuda"), default=os.environ.get("TORCH", "debian"))
    parser.add_argument("--version", default=os.environ.get("VERSION", "0"))
    parser.add_argument("--epoch", type=int, default=int(os.environ.get("SOURCE_DATE_EPOCH", "0")))
    arguments = parser.parse_args()
    collection = Collection(arguments)
    collection.add_program()
    collection.add_shared(arguments.shared)
    collection.add_system_files()
    collection.add_licences()
    collection.add_package_lists()
    collection.set_times()


if __name__ == "__main__":
    main()
