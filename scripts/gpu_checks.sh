#!/usr/bin/env bash
# Everything that needs a GPU, in one call of less than ten minutes: agreement with the CPU, the speed of every row of the
# fast core against eager torch, memory, and a profile. Needs Python with torch, Triton, Lightning and pytest. Results go to
# the folder $1 (default: $OUT or outputs/gpu): report.txt says which goals and floors were met. Run from the root of a clone.
#   scripts/gpu_checks.sh [folder]
set -uo pipefail
out=$(realpath -m "${1:-${OUT:-outputs/gpu}}")
mkdir -p "$out"
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}" TRITON_CACHE_DIR="${TRITON_CACHE_DIR:-/tmp/thermotorch-triton}"
unset TRITON_INTERPRET
failed=()

nvidia-smi --query-gpu=name,driver_version,memory.total,clocks.max.sm --format=csv | tee "$out/gpu.csv"

# Correctness is bound by compilation: all files at once, each in its process.
tests=(tests/test_cuda.py tests/dynamics/cuda/test_{paths,adjoint,flows,alternating,pipeline,action,noise}.py)
for file in "${tests[@]}"; do
  timeout 240 python -m pytest -q -p no:cacheprovider "$file" >"$out/$(basename "$file" .py).txt" 2>&1 &
  pids+=($!)
done
for i in "${!tests[@]}"; do
  wait "${pids[$i]}" || failed+=("${tests[$i]} (status $?)")
  tail -n 3 "$out/$(basename "${tests[$i]}" .py).txt"
done

# Speed alone.
timeout 340 python scripts/gpu_checks.py "$out" 2>&1 | tee "$out/speed.txt" || failed+=("scripts/gpu_checks.py")

if [ ${#failed[@]} -gt 0 ]; then
  printf 'FAILED: %s\n' "${failed[@]}" | tee -a "$out/report.txt"
  exit 1
fi
