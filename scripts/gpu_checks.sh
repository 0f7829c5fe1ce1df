#!/usr/bin/env bash
# Everything that needs a GPU, in one call of less than ten minutes: agreement with the CPU, speed, training of the digital
# baseline, and the full protocol. Results go to the folder $1 (default: outputs/gpu). Run from the root of a clone.
#   THERMOTORCH_DATA=data scripts/gpu_checks.sh [folder]
set -euo pipefail
out=$(realpath -m "${1:-outputs/gpu}")
mkdir -p "$out"
run() { echo "+ $*"; "$@" 2>&1 | tee -a "$out/log.txt"; }

run nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv
run python -m pytest -q tests/test_cuda.py tests/dynamics tests/test_layer.py
run python scripts/benchmark.py device=cuda hydra.run.dir="$out/benchmark"
run timeout 240 python scripts/train.py experiment=ddpm_mnist trainer=gpu hydra.run.dir="$out/ddpm" || true
for model in generator.three_digits ddpm.mnist; do
  run timeout 150 python scripts/evaluate.py model=$model protocol=full device=cuda hydra.run.dir="$out/evaluate-$model" || true
done
