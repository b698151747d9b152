"""Downloads pinned wheels with pip, checks their sha256, and unpacks those of one folder together, all or nothing."""

import argparse
import hashlib
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import zipfile


def read_list(path, folder):
    """Returns (requirement, sha256, kept path prefixes) of each wheel of `folder`."""
    wheels = []
    for line in path.read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        _group, line_folder, requirement, sha256, *kept = line.split()
        if line_folder == folder:
            wheels.append((requirement, sha256, kept))
    return wheels


def sha256_of(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def find_wheel(folder, requirement, sha256):
    name, version = requirement.split("==")
    for path in folder.glob(f"{name.replace('-', '_')}-{version}-*.whl"):
        if sha256_of(path) == sha256:
            return path
    return None


def download(folder, requirement, sha256, work):
    """Returns the wheel's path; pip refuses a file of another hash."""
    if (found := find_wheel(folder, requirement, sha256)) is not None:
        return found
    pinned = work / "requirement.txt"
    pinned.write_text(f"{requirement} --hash=sha256:{sha256}\n")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-cache-dir",
               "--no-deps", "--require-hashes", "--only-binary", ":all:", "--implementation", "cp",
               "--python-version", "311", "--abi", "cp311", "--abi", "none",
               "--platform", "manylinux_2_28_x86_64", "--platform", "manylinux_2_27_x86_64",
               "--platform", "manylinux_2_25_x86_64", "--platform", "manylinux_2_18_x86_64",
               "--platform", "manylinux_2_17_x86_64", "--platform", "manylinux2014_x86_64",
               "--dest", str(work / "wheels"), "--requirement", str(pinned)]
    if subprocess.run(command, check=False, stdin=subprocess.DEVNULL).returncode != 0:
        raise RuntimeError(f"pip could not download {requirement} with sha256 {sha256}")
    found = find_wheel(work / "wheels", requirement, sha256)
    if found is None:
        raise RuntimeError(f"pip fetched no {requirement} with sha256 {sha256}")
    return found


def unpack(wheel, kept, destination):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        if kept:
            names = [name for name in names if name.startswith(tuple(kept))]
        archive.extractall(destination, names)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--list", type=pathlib.Path, required=True)
    parser.add_argument("--cache", type=pathlib.Path, required=True)
    parser.add_argument("folder")
    arguments = parser.parse_args()
    wheels = read_list(arguments.list, arguments.folder)
    if not wheels:
        sys.exit(f"{arguments.list} names no wheel for the folder {arguments.folder}")
    work = pathlib.Path(tempfile.mkdtemp(prefix="fetch.", dir=arguments.cache))
    try:
        for requirement, sha256, kept in wheels:
            unpack(download(arguments.cache / "wheels", requirement, sha256, work), kept, work / "unpacked")
        os.rename(work / "unpacked", arguments.cache / arguments.folder)
    except (RuntimeError, OSError, zipfile.BadZipFile) as error:
        sys.exit(f"{arguments.folder}: {error}")
    finally:
        shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    main()
