#!/usr/bin/env bash
# The first, supervised piece of the package's own start. Stopped at any moment, the same command goes on to the same
# bits. Usage: start.sh CIFAR100_TRAINING_PARQUET OUT
set -euo pipefail
export OMP_NUM_THREADS=1
exec ${VITASCOPE:-vitascope} pretrain "$1" --preset record --model_fields.width=192 --model_fields.heads=3 \
  --model_fields.hidden=768 --epochs 20 --batch 64 --holdout 0.02 --label_smoothing 0.1 --augment.randaugment_layers 1 \
  --augment.randaugment_magnitude 5 --save_every 500 --eval_every 2000 --log_every 50 --precision float32 --seed 0 \
  --out "$2" --resume auto --yes true
