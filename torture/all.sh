#!/usr/bin/env bash
# usage: torture/all.sh [SECONDS]. The long tests, two at a time; docs/TRUST.md has what they gave.
# With SECONDS a sample: each fuzzer so long, a few kills, a small net.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-.venv/bin/python}
seconds=${1:-0}
export OMP_NUM_THREADS=1
logs=build/torture/logs
mkdir -p "$logs"

if [ "$seconds" -eq 0 ]; then
  kills=100 terms=40 together=10 mutations=20000 sizes=() flips=100000
else
  kills=8 terms=2 together=1 mutations=$((20 * seconds)) sizes=(--parameters 1.2e6 12e6) flips=20000
fi

native() { # the decoder in C
  if command -v clang >/dev/null; then "$python" torture/fuzz_native.py --seconds "$seconds"; else echo "fuzz_native: skipped: no clang"; fi
  if command -v cc >/dev/null; then
    make --quiet -C native build/damage
    native/build/damage flips "$flips" 1 $(ls tests/golden/*.sqz | grep -v zstd)
    native/build/damage cut $(ls tests/golden/*.sqz | grep -v zstd)
  fi
}

python_readers() {
  NUMBA_DISABLE_JIT=1 "$python" torture/fuzz_reader.py --seconds "$seconds"
  NUMBA_BOUNDSCHECK=1 "$python" torture/fuzz_reader.py --seconds "$seconds" --seed 2
  NUMBA_DISABLE_JIT=1 "$python" torture/fuzz_delta.py --seconds "$seconds"
  "$python" torture/fuzz_recipe.py --seconds "$seconds"
}

runs() {
  "$python" torture/kills.py --kills "$kills"
  "$python" torture/kills.py --kills "$terms" --signal TERM --together "$together"
  if [ "$seconds" -eq 0 ]; then "$python" torture/kills.py --disks; fi
}

files() {
  "$python" torture/mutations.py --executions "$mutations"
  "$python" torture/bombs.py --size $((seconds == 0 ? 1 << 20 : 1 << 17))
  if [ "$seconds" -eq 0 ]; then "$python" torture/mutants.py --seconds 1080; fi
  "$python" torture/same_bytes.py --expect torture/same_bytes.txt >/dev/null && echo "same_bytes: as recorded"
  "$python" benchmarks/scale.py --threads 1 "${sizes[@]}"
}

lane() { # its parts one after the other; each writes to a log, which is shown where it fails
  for part in "$@"; do
    if ! (set -e; $part) >"$logs/$part.txt" 2>&1; then
      echo "== $part FAILED"
      tail -n 60 "$logs/$part.txt"
      return 1
    fi
    echo "== $part: ok"
    grep -vE '^#|^INFO|DE:|^"|^\*|NEW|REDUCE|pulse|RELOAD|INITED|^$' "$logs/$part.txt" | tail -n 40
  done
}

lane native runs &
first=$!
lane python_readers files
wait "$first"
