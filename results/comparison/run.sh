#!/usr/bin/env bash
# The comparison, as its protocol (README.md) fixes it; stopped at any moment, the same command goes on.
# Usage: run.sh DATA [further options, such as --dry-run], DATA holds cifar10 and cifar100.
set -euo pipefail
data=$(cd "$1" && pwd)
cd "$(dirname "$0")"
ln -sfn "$data" data # so that results name no place
shift
export OMP_NUM_THREADS=1
exec ${VITASCOPE:-vitascope} study data-scaling data/cifar100 data/cifar10 --config models.yaml \
  --models "ViT-64/2,ViT-128/2,R8+ViT-64/2,BiT-R11x½,BiT-R20x½" --image-size 8 \
  --sizes 500,2000,8000,48000 --seeds 8,6,4,3 --epochs 100 --steps 6000 --decay constant --ema 0.995 \
  --evaluations 20 --patience 5 --best-by accuracy --validation-images 1000 \
  --rates 0.0003,0.001,0.003 --finetune-rates 0.01,0.03,0.1 --finetune-steps 300 --target-images 10000 \
  --shots 5,50 --draws 3 --l2 1024,32 --mean 0.507,0.487,0.441 --std 0.267,0.256,0.276 --augment.pad-shift 1 \
  --precision bfloat16 --compile true \
  --out study --yes "$@"
