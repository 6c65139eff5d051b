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
  --models "ViT-64/3,ViT-128/3,R+ViT-64/4,BiT-R8x½,BiT-R20x½" --image-size 12 \
  --sizes 500,2000,8000,48000 --seeds 8,6,4,3 --epochs 200 --steps 8000 --decay constant --ema 0.995 \
  --evaluations 20 --patience 6 --best-by accuracy --validation-images 1000 \
  --rates 0.0003,0.001,0.003 --finetune-rates 0.01,0.03,0.1 --finetune-steps 500 --target-images 10000 \
  --shots 5,50 --draws 3 --l2 1024,32 --mean 0.507,0.487,0.441 --std 0.267,0.256,0.276 --augment.pad-shift 2 \
  --out study --yes "$@"
