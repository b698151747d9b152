"""Finds the generated gRPC code, or generates it when the package runs from a source tree."""

import hashlib
import importlib
import importlib.metadata
import os
import pathlib
import shutil
import tempfile

MESSAGES = ["common/v1/tensor", "common/v1/trace", "common/v1/environment", "common/v1/transition"]
SERVICES = ["replay/v1/replay_service", "snapshot/v1/snapshot_service", "evaluation/v1/evaluation_service"]


def generate(proto_folder, out):
    """Writes the modules demorl.<package>.v1.*_pb2 and *_pb2_grpc under `out`."""
    import grpc_tools
    from grpc_tools import protoc

    well_known = pathlib.Path(grpc_tools.__file__).parent / "_proto"
    files = [str(proto_folder / "demorl" / f"{name}.proto") for name in MESSAGES + SERVICES]
    include = [f"-I{proto_folder}", f"-I{well_known}"]
    if protoc.main(["protoc", *include, f"--python_out={out}", f"--grpc_python_out={out}", *files]) != 0:
        raise RuntimeError(f"protoc failed on the files of {proto_folder}")


def _fingerprint(proto_folder):
    digest = hashlib.sha256(importlib.metadata.version("grpcio-tools").encode())
    for name in MESSAGES + SERVICES:
        digest.update((proto_folder / "demorl" / f"{name}.proto").read_bytes())
    return digest.hexdigest()[:16]


def _cache_folder():
    if "DEMORL_CACHE_DIR" in os.environ:
        return pathlib.Path(os.environ["DEMORL_CACHE_DIR"])
    base = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(base) / "demorl"


def _generated_folder(proto_folder):
    """Generates into the cache, once per state of the proto files; safe when two processes do it at once."""
    target = _cache_folder() / "python-stubs" / _fingerprint(proto_folder)
    if not target.is_dir():
        target.parent.mkdir(parents=True, exist_ok=True)
        work = pathlib.Path(tempfile.mkdtemp(dir=target.parent))
        try:
            generate(proto_folder, work)
            os.replace(work, target)
        except OSError:
            if not target.is_dir():
                raise
        finally:
            shutil.rmtree(work, ignore_errors=True)
    return target


def load():
    """Makes demorl.common, demorl.replay, demorl.snapshot and demorl.evaluation importable."""
    import demorl

    package = pathlib.Path(demorl.__file__).resolve().parent
    if (package / "replay").is_dir():
        return
    candidates = [package.parents[2] / "proto", package.parents[1] / "proto"]  # source tree, installed tree
    proto_folder = next((folder for folder in candidates if (folder / "demorl").is_dir()), None)
    if proto_folder is None:
        raise RuntimeError(f"no generated code in {package} and no proto files in {candidates}; reinstall the package")
    folder = str(_generated_folder(proto_folder) / "demorl")
    if folder not in demorl.__path__:
        demorl.__path__.append(folder)
        importlib.invalidate_caches()
