"""Judges a list of parts by CycloneDX's own schema: validate_sbom.py FILE SCHEMAS. Needs jsonschema."""

import json
import pathlib
import sys

import jsonschema


def main():
    bill = json.loads(pathlib.Path(sys.argv[1]).read_text())
    schemas = {}
    for path in pathlib.Path(sys.argv[2]).glob("*.schema.json"):
        for name in (path.name, path.name.replace(".SNAPSHOT", "")):  # they name each other by both
            schemas[f"http://cyclonedx.org/schema/{name}"] = json.loads(path.read_text())
    top = schemas[f"http://cyclonedx.org/schema/bom-{bill['specVersion']}.schema.json"]
    resolver = jsonschema.RefResolver(top["$id"], top, store=schemas)
    jsonschema.Draft7Validator(top, resolver=resolver).validate(bill)


if __name__ == "__main__":
    main()
