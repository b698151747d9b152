#!/bin/sh
# run_python_test.sh PYTHON ARGUMENT... : fails, never skips, where the virtual environment is missing.
python=$1
shift
if [ ! -x "$python" ]; then
  echo "no Python at $python: run tools/setup, which makes the virtual environment of the tests" >&2
  exit 1
fi
exec "$python" "$@"
