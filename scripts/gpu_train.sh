#!/usr/bin/env bash
# Train the chain, the autonomous machines and the digital baseline side by side on one GPU, without a network, and score
# each with 10,000 samples. Leaves, in the folder $1 (default: $OUT or outputs/gpu_train), the weights with their cards (zoo/)
# and what was measured. Needs Python 3.12, torch 2.11 and MNIST (THERMOTORCH_DATA). Run from the root of a clone.
#   scripts/gpu_train.sh [folder]
# SECONDS_OF_TRAINING says how long all of them train, side by side. SMALL=1 runs it dry, on a CPU, in minutes.
# GENETIC=1 trains by the genetic algorithm instead: the cosine with 1,000 runs at each of 32 points, and the classifier.
set -uo pipefail
out=$(realpath -m "${1:-${OUT:-outputs/gpu_train}}")
seconds=${SECONDS_OF_TRAINING:-380} samples=${SAMPLES:-10000} log=$out/logs
mkdir -p "$log"
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1 THERMOTORCH_CACHE=/tmp/thermotorch-cache OMP_NUM_THREADS=2
runs=$(mktemp -d)

common=(trainer=gpu callbacks=lean trainer.enable_model_summary=false trainer.max_steps=100000)
if [ -n "${SMALL:-}" ]; then
  seconds=10 samples=64
  common+=(data.batch_size=16 trainer.accelerator=cpu objective.at_once=true)
fi

# One process may use the parts of the GPU that another leaves idle, where the driver can share it so.
if [ -z "${SMALL:-}" ] && nvidia-cuda-mps-control -d 2>/dev/null; then
  timeout 30 "${PYTHON:-python}" -c "import torch; print(torch.ones(1, device='cuda').sum())" || echo quit | nvidia-cuda-mps-control
fi

train() {  # NAME overrides...
  local name=$1
  shift
  "${PYTHON:-python}" scripts/train.py "${common[@]}" callbacks.time_budget.seconds="$seconds" hydra.run.dir="$runs/$name" "$@" \
    >"$log/$name.txt" 2>&1
  local status=$?
  cp "$runs/$name"/csv/version_0/metrics.csv "$log/$name.csv" 2>/dev/null
  echo "$name: status $status after $SECONDS s"
  return $status
}

genetic() {  # NAME overrides...; no averaged weights and no learning rate that falls: neither has a meaning here
  local name=$1 limit=(trainer=gpu "+trainer.max_time.seconds=$seconds")
  shift
  [ -z "${SMALL:-}" ] || limit=(trainer=cpu +trainer.max_time.seconds=300 trainer.max_steps=2 trainer.log_every_n_steps=1 objective.population=10)
  "${PYTHON:-python}" scripts/train.py "${limit[@]}" trainer.enable_model_summary=false hydra.run.dir="$runs/$name" "$@" \
    >"$log/$name.txt" 2>&1
  local status=$?
  cp "$runs/$name"/csv/version_0/metrics.csv "$log/$name.csv" 2>/dev/null
  cp "$runs/$name"/checkpoints/last.ckpt "$out/$name.ckpt" 2>/dev/null
  echo "$name: status $status after $SECONDS s"
  return $status
}

if [ -n "${GENETIC:-}" ]; then
  many=(objective.samples=1000 objective.integrator=euler_maruyama objective.dt=0.001) images=(data.batch_size=5000)
  [ -z "${SMALL:-}" ] || many=(objective.samples=2 objective.inputs=4) images=(data.batch_size=16)
  genetic cosine_genetic experiment=cosine_genetic "${many[@]}" & cosine=$!
  genetic classifier_genetic experiment=classifier_genetic "${images[@]}" & classifier=$!
  wait $cosine && wait $classifier
  exit
fi

train chain_early experiment=mnist_chain_warm "objective.stages=[0,1]" &
train chain_late experiment=mnist_chain_warm "objective.stages=[2,3,4]" &
train machine experiment=mnist_generator_large_batch &
train ddpm experiment=ddpm_mnist_gpu &
train flow experiment=flow_mnist_gpu &
wait

release() { "${PYTHON:-python}" scripts/release_checkpoint.py --folder "$out/zoo" "$@"; }
{
  release "$runs/chain_early" generator.mnist_chain --part "$runs/chain_late" --store bfloat16
  release "$runs/machine" generator.mnist_fast
  release "$runs/ddpm" ddpm.mnist
  release "$runs/flow" flow.mnist
} >"$log/release.txt" 2>&1
echo "released after $SECONDS s"

score() {  # NAME overrides...
  local name=$1 label=$2
  shift 2
  "${PYTHON:-python}" scripts/evaluate.py model="$out/zoo/$name.safetensors" protocol=full protocol.num_samples="$samples" \
    protocol.kernel_subset_size=$((samples / 10)) protocol.curve_points=0 protocol.resamples=50 hydra.run.dir="$runs/score_$label" "$@" >"$log/score_$label.txt" 2>&1
  cp "$runs/score_$label/evaluation.json" "$log/score_$label.json" 2>/dev/null
  echo "scored $label: status $? after $SECONDS s"
}
score generator.mnist_chain chain &
score generator.mnist_chain chain_half +config.dt=0.03 &
score generator.mnist_fast machine &
score flow.mnist flow protocol.sampler=euler protocol.steps=20 &
score ddpm.mnist ddpm_any protocol.sampler=dpm++ protocol.steps=10 +config.guidance=0 &
for sampler in dpm++:10 dpm++:20 ddim:10 ddim:25 ddim:50 ddim:100; do
  score ddpm.mnist "ddpm_${sampler/:/_}" protocol.sampler="${sampler%:*}" protocol.steps="${sampler#*:}" &
done
wait
