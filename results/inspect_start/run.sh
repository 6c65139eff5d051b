#!/usr/bin/env bash
# The gallery's figures: the package's own start, and the same model with initial values, over the first 128 test images
# of CIFAR-100, which it has not seen. Usage: run.sh CIFAR100_PARQUET_FOLDER OUT
set -euo pipefail
data=$1 out=$2
vitascope=${VITASCOPE:-vitascope} python=${PYTHON:-python}
mkdir -p "$out"
$python - "$data" "$out" <<'EOF'
import sys
from dataclasses import replace
from pathlib import Path

import torch
from PIL import Image

import vitascope as vs
from vitascope.models.catalogue import build_model

test = vs.open_data(sys.argv[1]).test
folder = Path(sys.argv[2], "images")
folder.mkdir()
for i in range(128):
    Image.fromarray(test[i]).save(folder / f"{i:03d}-{test.classes[test.labels[i]]}.png")
start = vs.load("start")
untrained = build_model(start.config, torch.Generator().manual_seed(0)).eval()
vs.save(replace(start, model=untrained, card={}, shown=None), Path(sys.argv[2], "untrained"))
EOF
cd "$out"
$vitascope inspect start untrained images --out report
