#!/usr/bin/env bash
# The gallery's figures: the model fine-tuned on CIFAR-10 after CIFAR-100 and the same model from scratch (both of
# results/cifar_transfer), over the first 128 test images. Usage: run.sh CIFAR10_PARQUET_FOLDER FOLDER_OF_RUNS OUT
set -euo pipefail
data=$1 runs=$2 out=$3
vitascope=${VITASCOPE:-vitascope} python=${PYTHON:-python}
mkdir -p "$out"
$python - "$data" "$out/images" <<'EOF'
import sys
from pathlib import Path

from PIL import Image

import vitascope as vs

test = vs.open_data(sys.argv[1]).test
folder = Path(sys.argv[2])
folder.mkdir()
for i in range(128):
    Image.fromarray(test[i]).save(folder / f"{i:03d}-{test.classes[test.labels[i]]}.png")
EOF
$vitascope inspect "$runs/vit-finetune" "$runs/vit-scratch" "$out/images" --out "$out/report"
