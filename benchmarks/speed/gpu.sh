#!/usr/bin/env bash
# All that is to be known of this project on a machine with a GPU, in one JSON:
# is it right there, and how fast?
#
#   benchmarks/speed/gpu.sh --output=runs/gpu
#
# Sets up an environment with the CUDA libraries on its first run (PYTHON names
# another one), then runs gpu.py, which takes ten minutes at most.
set -euo pipefail
cd "$(dirname "$0")/../.."
if [ -z "${PYTHON:-}" ]; then
  PYTHON=.venv-gpu/bin/python
  if [ ! -x "$PYTHON" ]; then
    python3 -m venv .venv-gpu
    "$PYTHON" -m pip install --quiet -r requirements-gpu.txt
    "$PYTHON" -m pip install --quiet -r tests/requirements.txt
  fi
fi
exec "$PYTHON" benchmarks/speed/gpu.py "$@"
