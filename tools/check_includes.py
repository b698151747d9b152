#!/usr/bin/env python3
"""Checks every #include (and import, and link to Torch) against the dependencies that the project allows itself.

A unit is a folder with its subfolders: common/<part>, services/<name>/core (with <name>_metrics.h), services/<name>. UNITS says what each may
include: other units of common/, and libraries. Services follow one rule for all. Prints one line per violation.
"""

import argparse
import pathlib
import re
import sys

LIBRARIES = [  # first match wins; anything else is the standard library, Abseil or POSIX, which all may use
    ("grpc", re.compile(r"grpc(pp)?/|.*\.grpc\.pb\.h$")),
    ("config_proto", re.compile(r"demorl/config/.*\.pb\.h$")),
    ("common_proto", re.compile(r"demorl/common/.*\.pb\.h$")),
    ("rpc_proto", re.compile(r"demorl/.*\.pb\.h$")),
    ("protobuf", re.compile(r"google/protobuf/")),
    ("torch", re.compile(r"(torch|ATen|c10|caffe2)/")),
    ("mujoco", re.compile(r"mujoco/")),
    ("eigen", re.compile(r"Eigen/")),
    ("onednn", re.compile(r"(oneapi/)?dnnl")),
    ("prometheus", re.compile(r"prometheus/")),
    ("rocksdb", re.compile(r"rocksdb/")),
    ("spdlog", re.compile(r"spdlog/")),
    ("cli11", re.compile(r"CLI/")),
    ("openssl", re.compile(r"openssl/")),
    ("json", re.compile(r"nlohmann/")),
    ("gtest", re.compile(r"(gtest|gmock|benchmark)/")),
]
PROTOBUF = {"config_proto", "common_proto", "rpc_proto", "protobuf"}

UNITS = {
    "common/base": (set(), set()),
    "common/bench": (set(), set()),
    "common/concurrency": ({"base"}, set()),
    "common/metrics": ({"base"}, {"prometheus"}),
    "common/config": ({"base"}, {"config_proto", "protobuf"}),
    "common/tensor": ({"base"}, {"common_proto", "protobuf"}),
    "common/tracing": ({"base", "metrics"}, {"json"}),
    "common/rpc": ({"base", "concurrency", "config", "metrics", "tensor", "tracing"}, PROTOBUF | {"cli11", "grpc", "openssl", "spdlog"}),
    "common/env": ({"base", "concurrency", "tensor"}, {"mujoco"}),
    "common/policy": ({"base", "tensor"}, {"eigen", "json"}),
    "common/nn": ({"base", "concurrency"}, {"onednn"}),
    "common/planning": ({"base", "concurrency", "env", "policy", "tensor"}, {"eigen"}),
    "common/rl": ({"base", "concurrency", "nn", "planning", "policy", "tensor"}, {"torch"}),
    "common/robot": ({"base", "concurrency", "policy", "tensor"}, set()),
}
# Of common/env, planning knows the interfaces only, so that one loop runs on the simulator and on learned models.
PLANNING_ENV_HEADERS = {"common/env/environment.h", "common/env/registry.h"}
TORCH_SERVICES = {"model_trainer", "mpc_rollout", "sac_learner"}
NO_SIMULATOR_SERVICES = {"replay", "snapshot"}
CORE_LIBRARIES = {"config_proto", "protobuf", "eigen", "json"}
SKIN_LIBRARIES = CORE_LIBRARIES | {"grpc", "rpc_proto", "common_proto", "spdlog"}

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')
IMPORT = re.compile(r'^\s*import\s+(?:public\s+)?"([^"]+)"')


def library_of(include):
    return next((name for name, pattern in LIBRARIES if pattern.match(include)), None)


def unit_of(path):
    parts = path.split("/")
    if parts[0] == "services" and len(parts) > 2 and (parts[2] == "core" or parts[2] == f"{parts[1]}_metrics.h"):
        return "/".join([*parts[:2], "core"])
    return "/".join(parts[:2])


class Tree:
    """The source files below `root`, their includes by line, and what they reach through our own headers."""

    def __init__(self, root):
        self.root = root
        self.includes = {}
        for top in ("common", "services", "tests"):
            for path in sorted((root / top).rglob("*")):
                if path.suffix in (".h", ".cc"):
                    self.includes[str(path.relative_to(root))] = self._read(path)
        self._reached = {}

    @staticmethod
    def _read(path):
        found = []
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
            if match := INCLUDE.match(line):
                found.append((number, match[1], match[2]))
        return found

    def reached_libraries(self, path):
        """Returns {library: chain of files} that `path` includes, itself or through our headers."""
        if path in self._reached:
            return self._reached[path]
        self._reached[path] = {}  # ends a cycle; cycles are reported apart
        reached = {}
        for _, _, include in self.includes.get(path, []):
            if (library := library_of(include)) is not None:
                reached.setdefault(library, [path, include])
            elif include in self.includes:
                for library, chain in self.reached_libraries(include).items():
                    reached.setdefault(library, [path] + chain)
        self._reached[path] = reached
        return reached


def check_common(unit, include, library):
    """Returns what is wrong with a file of the unit including `include`, or None."""
    parts, libraries = UNITS[unit]
    if library is not None:
        return None if library in libraries else f"{unit} may not use {library}"
    top, _, rest = include.partition("/")
    if top == "services":
        return f"{unit} may not include a service"
    if top != "common" or unit_of(include) == unit:
        return None
    if rest.split("/")[0] not in parts:
        return f"{unit} may include only common/{{{','.join(sorted(parts))}}}"
    if unit == "common/planning" and include.startswith("common/env/") and include not in PLANNING_ENV_HEADERS:
        return "common/planning may include only the interfaces of common/env: " + " ".join(sorted(PLANNING_ENV_HEADERS))
    return None


def service_libraries(service, in_core):
    libraries = set(CORE_LIBRARIES if in_core else SKIN_LIBRARIES)
    if service in TORCH_SERVICES:
        libraries.add("torch")
    if service == "replay" and in_core:
        libraries.add("rocksdb")
    if service == "cli":
        libraries |= {"cli11", "mujoco"}
    if service == "robot_emulator":
        libraries |= {"mujoco"} if in_core else {"cli11", "mujoco"}
    return libraries


def check_service(path, include, library):
    _, service, *rest = path.split("/")
    in_core = unit_of(path).endswith("/core")
    if library is not None:
        allowed = library in service_libraries(service, in_core)
        return None if allowed else f"services/{service}{'/core' if in_core else ''} may not use {library}"
    parts = include.split("/")
    if parts[0] == "common":
        return check_service_to_common(service, in_core, parts[1])
    if parts[0] == "services":
        return check_service_to_service(service, in_core, parts)
    return None


def check_service_to_common(service, in_core, part):
    if in_core and part == "rpc":
        return f"services/{service}/core may not include common/rpc: the core knows no gRPC"
    if part == "rl" and service not in TORCH_SERVICES:
        return f"services/{service} may not include common/rl (Torch)"
    if part == "env" and service in NO_SIMULATOR_SERVICES:
        return f"services/{service} may not include common/env (MuJoCo)"
    return None


def check_service_to_service(service, in_core, parts):
    other, rest = parts[1], parts[2:]
    if other == service:
        if in_core and rest[0] not in ("core", f"{service}_metrics.h"):
            return f"services/{service}/core may not include its own skin"
        return None
    if in_core:
        return f"services/{service}/core may not include another service"
    if rest == [f"{other}_client.h"]:
        return None
    if other == "robot_gateway" and service.endswith("_gateway"):
        return None  # what the gateways of all robots share
    if service == "cli" and (rest[0] == "core" or rest == [f"{other}_component.h"]):
        return None  # the program runs components in its own process, and its conductor steps their cores
    return f"services/{service} may reach services/{other} only through {other}_client.h"


def check_file(tree, path):
    """Yields (line, message)."""
    unit = unit_of(path)
    top = path.split("/")[0]
    if top == "common" and unit not in UNITS:
        yield 1, f"{unit} is not a part this check knows; add it to UNITS with what it may include"
        return
    for line, quote, include in tree.includes[path]:
        library = library_of(include)
        ours = include.split("/")[0] in ("common", "services", "tests", "tools")
        if include not in tree.includes and (ours or (quote == '"' and "/" not in include)):
            yield line, f'"{include}" is no file of ours; an include names its file from the root'
        if pathlib.PurePath(include).name == "main.h" or include.endswith(".cc"):
            yield line, "nothing includes a main or a source file"
        if top == "tests" or (library is None and not ours):
            continue
        if library is None and include.split("/")[0] in ("tests", "tools"):
            yield line, "nothing but tests includes tests or tools"
            continue
        message = check_common(unit, include, library) if top == "common" else check_service(path, include, library)
        if message:
            yield line, message
    yield from check_reach(tree, path)


def check_reach(tree, path):
    """What a file must not see even through our own headers."""
    reached = tree.reached_libraries(path)
    if path.startswith("services/") and "/core/" in path and "grpc" in reached:
        yield 1, "a core reaches gRPC: " + " -> ".join(reached["grpc"])
    mixed = sorted(PROTOBUF & reached.keys())
    if "torch" in reached and mixed:
        yield 1, ("Torch and protobuf in one file (the wheel of Torch carries an old protobuf): "
                  + " -> ".join(reached["torch"]) + " and " + " -> ".join(reached[mixed[0]]))


def find_cycle(graph):
    """Returns the nodes of one cycle, or None."""
    done, stack = set(), []

    def visit(node):
        if node in stack:
            return stack[stack.index(node):] + [node]
        if node in done:
            return None
        stack.append(node)
        for neighbour in sorted(graph.get(node, ())):
            if (cycle := visit(neighbour)) is not None:
                return cycle
        stack.pop()
        done.add(node)
        return None

    return next((cycle for node in sorted(graph) if (cycle := visit(node)) is not None), None)


def check_cycles(tree):
    files, units = {}, {}
    for path, includes in tree.includes.items():
        if path.startswith("tests/"):
            continue
        ours = [include for _, _, include in includes if include in tree.includes]
        files[path] = set(ours)
        units.setdefault(unit_of(path), set()).update(unit_of(include) for include in ours if unit_of(include) != unit_of(path))
    for kind, graph in (("files", files), ("folders", units)):
        if (cycle := find_cycle(graph)) is not None:
            yield cycle[0], 1, f"a cycle of {kind}: " + " -> ".join(cycle)


def check_protos(root):
    """config/ and common/ import no other package; nothing imports another service's messages."""
    for path in sorted((root / "proto").rglob("*.proto")):
        name = str(path.relative_to(root))
        package = name.split("/")[2] if name.count("/") > 2 else ""
        for line, text in enumerate(path.read_text().splitlines(), 1):
            if not (match := IMPORT.match(text)) or match[1].startswith("google/protobuf/"):
                continue
            imported = match[1].split("/")[1]
            if imported != package and (imported != "common" or package == "config"):
                yield name, line, f"demorl.{package} may not import demorl.{imported}"


def check_links(root):
    """demorl::torch and demorl::rl are linked in four places; replay and snapshot link no simulator."""
    for path in sorted([*(root / "common").rglob("CMakeLists.txt"), *(root / "services").rglob("CMakeLists.txt")]):
        name = str(path.relative_to(root))
        parts = name.split("/")
        for line, text in enumerate(path.read_text().splitlines(), 1):
            text = text.split("#")[0]
            torch = re.search(r"demorl::(torch|rl)\b", text)
            if torch and not (name.startswith("common/rl/") or (parts[0] == "services" and parts[1] in TORCH_SERVICES)):
                yield name, line, f"only common/rl and {', '.join(sorted(TORCH_SERVICES))} link demorl::{torch[1]}"
            if parts[0] == "services" and parts[1] in NO_SIMULATOR_SERVICES and re.search(r"demorl::env\b|mujoco::", text):
                yield name, line, f"services/{parts[1]} links no simulator"


def check(root):
    tree = Tree(root)
    violations = []
    for path in tree.includes:
        violations += [(path, line, message) for line, message in check_file(tree, path)]
    violations += [*check_cycles(tree), *check_protos(root), *check_links(root)]
    return violations, len(tree.includes)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", nargs="?", type=pathlib.Path, default=pathlib.Path(__file__).resolve().parent.parent)
    violations, num_files = check(parser.parse_args().root)
    for path, line, message in violations:
        print(f"{path}:{line}: {message}", file=sys.stderr)
    if violations:
        sys.exit(1)
    print(f"includes: {num_files} files")


if __name__ == "__main__":
    main()
