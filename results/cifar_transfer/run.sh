#!/usr/bin/env bash
# Pre-train on CIFAR-100 at 32 px, fine-tune on CIFAR-10 at 48 px; beside it the same model from scratch with the
# fine-tuning budget, and a BiT-ResNet of similar cost. Runs one after another, each resumable: start it again and it
# goes on where it stopped. Usage: run.sh FOLDER_OF_CIFAR_PARQUETS FOLDER_FOR_RUNS
set -euo pipefail
data=$1 runs=$2
vitascope=${VITASCOPE:-vitascope}
resnet='{"base_width": 32, "small_images": true}'
pretraining=(--steps 800 --batch 64 --lr 1e-3 --weight_decay 0.05 --warmup 0.1 --holdout 0.02 --image_size 32
  --augment.crop shift --seed 0 --eval_every 200 --save_every 50)
shared=(--steps 160 --batch 64 --warmup 0.1 --holdout 0.02 --image_size 48 --augment.crop shift --seed 0
  --eval_every 80 --save_every 40)
finetuning=("${shared[@]}" --lr 0.03)  # Table 4: SGD
adamw=(--optimizer adamw --lr 1e-3 --weight_decay 0.05)  # the same as from scratch, so that only the start differs
scratch=("${shared[@]}" --lr 1e-3 --weight_decay 0.05 --mlp_head false)

run() { # name, command …: nothing if done, resumed if begun
  local out=$runs/$1 again=()
  shift
  if [ -e "$out/results.json" ]; then return; fi
  if [ -e "$out/config.yaml" ]; then again=(--resume); fi
  $vitascope "$@" --out "$out" "${again[@]}"
}

run vit-pretrain pretrain "$data/cifar100" --model ViT-Ti/4 "${pretraining[@]}"
run vit-finetune finetune "$runs/vit-pretrain" "$data/cifar10" "${finetuning[@]}"
run vit-scratch pretrain "$data/cifar10" --model ViT-Ti/4 "${scratch[@]}"
run bit-pretrain pretrain "$data/cifar100" --model BiT-R50x1 --model_fields "$resnet" "${pretraining[@]}"
run bit-finetune finetune "$runs/bit-pretrain" "$data/cifar10" "${finetuning[@]}"
run bit-scratch pretrain "$data/cifar10" --model BiT-R50x1 --model_fields "$resnet" "${scratch[@]}"
run vit-finetune-adamw finetune "$runs/vit-pretrain" "$data/cifar10" "${shared[@]}" "${adamw[@]}"
run bit-finetune-adamw finetune "$runs/bit-pretrain" "$data/cifar10" "${shared[@]}" "${adamw[@]}"
