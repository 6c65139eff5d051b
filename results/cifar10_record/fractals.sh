#!/usr/bin/env bash
# The same hour with fractals first: eleven minutes of generated pictures, then 52 of CIFAR-10 with the values of the
# preset `record`, spelled out since a preset belongs to one recipe. Stopped at any moment, the same command goes on.
# Usage: fractals.sh FOLDER_OF_CIFAR10_PARQUET FOLDER_OF_RUNS
set -euo pipefail
data=$1 out=$2
vitascope=${VITASCOPE:-vitascope}
again() { if [ -e "$1/config.yaml" ]; then echo --resume; fi; }

if [ ! -e "$out/fractals/results.json" ]; then
    $vitascope pretrain "fractals:classes=200,size=32,colour=true,most_maps=3,instances=800,validation=0" --preset record \
        --steps 2400 --drop_tokens_for 1 --save_every 500 --log_every 50 --seed 0 --out "$out/fractals" $(again "$out/fractals")
fi
if [ ! -e "$out/cifar10/results.json" ]; then
    $vitascope finetune "$out/fractals" "$data" --steps 8200 --batch 64 --optimizer muon --momentum 0.95 --lr 4e-3 \
        --warmup 0.05 --decay linear --weight_decay 0.05 --label_smoothing 0.1 --drop_tokens 0.6 --drop_tokens_for 0.75 \
        --holdout 0 --augment.crop shift --save_every 500 --log_every 50 --seed 0 --out "$out/cifar10" $(again "$out/cifar10")
fi
