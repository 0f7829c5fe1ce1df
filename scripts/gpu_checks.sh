#!/usr/bin/env bash
# Everything that needs a GPU, in one call of less than ten minutes: agreement with the CPU, the speed of every row of the
# fast core against eager torch, memory, and a profile. Needs Python with torch, Triton, Lightning and pytest; what else is
# installed is used. Results go to the folder $1 (default: $OUT or outputs/gpu). Run from the root of a clone.
#   THERMOTORCH_DATA=data scripts/gpu_checks.sh [folder]
set -uo pipefail
out=$(realpath -m "${1:-${OUT:-outputs/gpu}}")
mkdir -p "$out"
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}" TRITON_CACHE_DIR="${TRITON_CACHE_DIR:-$out/triton-cache}"
failed=()
run() {  # seconds command...
  local limit=$1; shift
  echo "+ $*" | tee -a "$out/log.txt"
  timeout "$limit" "$@" 2>&1 | tee -a "$out/log.txt"
  local status=${PIPESTATUS[0]}
  [ "$status" = 0 ] || failed+=("$* (status $status)")
}

run 20 nvidia-smi --query-gpu=name,driver_version,memory.total,clocks.max.sm --format=csv
run 200 python -m pytest -q -x -p no:cacheprovider tests/dynamics/kernels
run 120 python -m pytest -q -p no:cacheprovider tests/test_cuda.py
run 240 python scripts/gpu_checks.py "$out"
rm -rf "$out/triton-cache"

if [ ${#failed[@]} -gt 0 ]; then
  printf 'FAILED: %s\n' "${failed[@]}" | tee -a "$out/log.txt"
  exit 1
fi
