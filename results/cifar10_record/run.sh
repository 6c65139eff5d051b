#!/usr/bin/env bash
# One hour of training on CIFAR-10, from scratch: the preset `record`. Stopped at any moment, the same command goes on
# where it stopped, to the same bits. Usage: run.sh FOLDER_OF_CIFAR10_PARQUET FOLDER_OF_RUN [more options of pretrain]
set -euo pipefail
data=$1 out=$2
shift 2
again=()
if [ -e "$out/results.json" ]; then exit; fi
if [ -e "$out/config.yaml" ]; then again=(--resume); fi
${VITASCOPE:-vitascope} pretrain "$data" --preset record --seed 0 --out "$out" "${again[@]}" "$@"
