"""The chart and the programs that render and judge it, for the tests beside this file."""

import functools
import json
import os
import pathlib
import re
import subprocess

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
CHART = ROOT / "k8s" / "demorl"
PROFILES = ["values-gpu.yaml", "values-kind.yaml", "values-large.yaml", "values-spot.yaml"]
# Combinations that users install, by the values files of each; on.yaml has everything that is optional.
CASES = {
    "defaults": [],
    **{profile: [CHART / profile] for profile in PROFILES},
    "gpu, large and spot": [CHART / "values-gpu.yaml", CHART / "values-large.yaml", CHART / "values-spot.yaml"],
    "everything on": [pathlib.Path(__file__).parent / "on.yaml"],
}
TOOLS = pathlib.Path(os.environ["DEMORL_GO_TOOLS"])
SCHEMAS = TOOLS.parent / "kubernetes-validate-1.34.1/kubernetes_validate/kubernetes-json-schema"


class Loader(yaml.CSafeLoader):
    """YAML as Kubernetes reads it: a lone "=" is text."""


Loader.add_constructor("tag:yaml.org,2002:value", Loader.construct_yaml_str)


def run(*command, **options):
    """The finished process; its output as text."""
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False, **options)


def helm(*arguments, **options):
    """Helm, without its remarks on links in the chart's folder."""
    done = run(TOOLS / "bin" / "helm", *arguments, **options)
    done.stderr = "".join(line for line in done.stderr.splitlines(True) if "found symbolic link" not in line)
    return done


def render(values=(), settings=(), chart=CHART, release="walk", namespace="robots"):
    """The text of all objects; RuntimeError with Helm's message when there are none."""
    arguments = [part for file in values for part in ("--values", file)]
    arguments += [part for setting in settings for part in ("--set-json", setting)]
    done = helm("template", release, chart, "--namespace", namespace, *arguments)
    if done.returncode != 0:
        raise RuntimeError(done.stderr)
    return done.stdout


@functools.lru_cache(None)
def render_case(name):
    return render(CASES[name])


def objects(text):
    """The objects of a rendered chart."""
    return [item for item in yaml.load_all(text, Loader=Loader) if item]


def write_builtin_schemas(folder, version):
    """Schemas as kubeconform wants them, each with all that it refers to, of the kinds of a release of Kubernetes."""
    source = SCHEMAS / f"v{version}-local-strict"
    definitions = json.loads((source / "_definitions.json").read_text())["$defs"]
    references = re.compile(r'"\$ref": "[^"#]*#/\$defs/([^"]+)"')
    for file in source.glob("*.json"):
        text = file.read_text()
        if '"x-kubernetes-group-version-kind"' not in text:
            continue
        needed, new = {}, set(references.findall(text))
        while new:
            found = {name: json.dumps(definitions[name]) for name in new}
            needed |= found
            new = {name for one in found.values() for name in references.findall(one)} - needed.keys()
        schema = json.loads(references.sub(r'"$ref": "#/$defs/\1"', text))
        schema["$defs"] = {name: json.loads(references.sub(r'"$ref": "#/$defs/\1"', one)) for name, one in needed.items()}
        (folder / file.name).write_text(json.dumps(schema))


def write_crd_schemas(folder):
    """The same of all custom resources; unknown fields are errors."""
    for file in sorted((TOOLS / "crds").glob("*.yaml")):
        # cert-manager's are templates themselves.
        text = "".join(line for line in file.read_text().splitlines(True) if "{{" not in line)
        for crd in yaml.load_all(text, Loader=Loader):
            spec = (crd or {}).get("spec", {})
            for version in spec.get("versions", []):
                name = f"{spec['names']['kind']}-{spec['group']}-{version['name']}.json".lower()
                (folder / name).write_text(json.dumps(strict(version["schema"]["openAPIV3Schema"], top=True)))


def strict(schema, top=False):
    """Closes every object whose fields are listed."""
    if isinstance(schema, list):
        return [strict(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: strict(value) for key, value in schema.items()}
    if isinstance(schema.get("properties"), dict) and "type" in schema and not schema.get("x-kubernetes-preserve-unknown-fields"):
        closed.setdefault("additionalProperties", False)
    if top:
        for key in ("apiVersion", "kind", "metadata"):
            closed["properties"].setdefault(key, {})
    return closed
