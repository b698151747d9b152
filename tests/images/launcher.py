"""Becomes the program of a container: launcher.py PLAN, in mount, process and host name spaces of its own. See container.py."""

import ctypes
import json
import os
import pathlib
import socket
import subprocess
import sys

PR_SET_NO_NEW_PRIVS = 38
PR_CAPBSET_DROP = 24
DEVICES = ("null", "zero", "full", "random", "urandom")


def mount(*arguments):
    subprocess.run(["mount", *arguments], check=True)


def mount_all(plan, root):
    mount("--bind", root, root)
    for name, kind, options in (("proc", "proc", "nosuid"), ("tmp", "tmpfs", "mode=1777,size=64m,nosuid")):
        (root / name).mkdir(exist_ok=True)
        mount("-t", kind, "-o", options, kind, root / name)
    (root / "dev").mkdir(exist_ok=True)
    for device in DEVICES:
        (root / "dev" / device).touch()
        mount("--bind", f"/dev/{device}", root / "dev" / device)
    for source, target, read_only in plan["binds"]:
        place = root / target.lstrip("/")
        if os.path.isdir(source):
            place.mkdir(parents=True, exist_ok=True)
        else:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.touch()
        mount("--bind", source, place)
        if read_only:
            mount("-o", "remount,bind,ro", place)
    mount("-o", "remount,bind,ro", root)


def drop_privileges(plan):
    libc = ctypes.CDLL(None, use_errno=True)
    for capability in range(64):
        libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "no_new_privs")
    os.setgroups([])
    os.setresgid(plan["group"], plan["group"], plan["group"])
    os.setresuid(plan["user"], plan["user"], plan["user"])


def main():
    plan = json.loads(sys.argv[1])
    root = pathlib.Path(plan["root"])
    socket.sethostname(plan["hostname"])
    mount_all(plan, root)
    os.chroot(root)
    os.chdir("/")
    drop_privileges(plan)
    environment = {"PATH": "/usr/bin", "HOSTNAME": plan["hostname"], **plan["environment"]}
    os.execve(plan["command"][0], plan["command"], environment)


if __name__ == "__main__":
    main()
