#!/usr/bin/env bash
# Two pilots of about six minutes on one thread each, side by side: all tokens, or half of them for 70 % of the steps.
# Judged on a twentieth of the training images. Usage: tokens.sh FOLDER_OF_CIFAR10_TRAINING_PARQUET FOLDER_OF_RUNS
set -euo pipefail
data=$1 out=$2
export OMP_NUM_THREADS=1

pilot() {
    local name=$1
    shift
    ${VITASCOPE:-vitascope} pretrain "$data" --preset record --seed 0 --holdout 0.05 --eval_every 100000 --out "$out/$name" \
        --model_fields '{"width": 96, "depth": 4, "heads": 3, "hidden": 384, "class_token": false, "pooling": "mean"}' "$@"
}

pilot all --steps 1250 --drop_tokens 0 &
pilot half --steps 1875 --drop_tokens 0.5 --drop_tokens_for 0.7 &
wait -n  # one and the other: a failure ends this too
wait -n
