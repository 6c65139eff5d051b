"""Gathers the runs of run.sh into one JSON on standard output. Usage: collect.py FOLDER_OF_RUNS > summary.json"""

import json
import sys
from pathlib import Path

NAMES = ("vit-pretrain", "vit-finetune", "vit-finetune-adamw", "vit-scratch")
NAMES += tuple(name.replace("vit", "bit") for name in NAMES)

runs = {}
for name in NAMES:
    folder = Path(sys.argv[1]) / name
    if not (folder / "results.json").exists():
        continue
    result = json.loads((folder / "results.json").read_text())
    environment = json.loads((folder / "environment.json").read_text())
    runs[name] = {
        "validation_top1": result["validation"]["top1"],
        "test_top1": result["test"]["top1"],
        "test_top5": result["test"]["top5"],
        "test_images": result["test"]["images"],
        **{key: result[key] for key in ("steps", "epochs", "seconds", "images_per_second")},
        **{key: environment.get(key) for key in ("processor", "threads", "commit")},
    }
print(json.dumps(runs, indent=1))
