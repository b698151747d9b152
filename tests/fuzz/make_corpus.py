#!/usr/bin/env python3
"""Writes the seeds of a fuzz target, one a line of a text file, as binary files into a folder.

A line is hex ("FA FF 30 00 D1") or a quoted string with Python's escapes ("can on\\n"); # begins a comment line.
"""

import ast
import pathlib
import shutil
import sys


def decode(line):
    return ast.literal_eval("b" + line) if line.startswith('"') else bytes.fromhex(line)


def main():
    source, folder = map(pathlib.Path, sys.argv[1:])
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for number, line in enumerate(source.read_text().splitlines(), 1):
        if not line or line.startswith("#"):
            continue
        try:
            (folder / f"{number:03}").write_bytes(decode(line))
        except (SyntaxError, ValueError) as error:
            sys.exit(f"{source}:{number}: {error}; want hex or a quoted string")


if __name__ == "__main__":
    main()
