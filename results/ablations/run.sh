#!/usr/bin/env bash
# The paper's ablations on CIFAR-100 to CIFAR-10; stopped at any moment, the same command goes on.
# Usage: run.sh DATA [NAME…], DATA holds cifar10 and cifar100; without names all of them, about two hours of one quiet core.
set -euo pipefail
data=$(cd "$1" && pwd)
cd "$(dirname "$0")"
ln -sfn "$data" data # so that results name no place
shift
export OMP_NUM_THREADS=1

ablation() {
  local name=$1
  shift
  ${VITASCOPE:-vitascope} study ablation "$name" data/cifar100 data/cifar10 --out "$name" --steps 1000 \
    --seeds 3 --finetune-steps 200 --target-images 10000 --shots 50 --mean 0.507,0.487,0.441 \
    --std 0.267,0.256,0.276 --yes "$@"
}

for name in ${*:-head positions self-supervision shape optimiser cost}; do
  case $name in
    shape) ablation shape --model-fields '{width: 32, depth: 4, heads: 2, hidden: 64}' ;;
    optimiser) ablation optimiser --image-size 8 --augment.pad-shift 1 --steps 500 ;;
    cost) [ -e cost ] || ${VITASCOPE:-vitascope} study cost --out cost ;; # nothing else should run
    positions) ablation positions --seeds 6 ;; # by three of them three more would decide; see README
    *) ablation "$name" ;;
  esac
done
