"""Builds the package with the stubs of proto/ inside; everything else is in pyproject.toml."""

import pathlib
import sys

from setuptools import setup
from setuptools.command.build_py import build_py

HERE = pathlib.Path(__file__).resolve().parent


class BuildWithStubs(build_py):
    def run(self):
        super().run()
        sys.path.insert(0, str(HERE / "demorl"))
        import stubs

        stubs.generate(HERE.parent.parent / "proto", pathlib.Path(self.build_lib).resolve())


setup(packages=["demorl"], cmdclass={"build_py": BuildWithStubs})
