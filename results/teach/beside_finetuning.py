"""Teaching beside fine-tuning from the same starts. `beside_finetuning.py DATA RUNS NAME=CHECKPOINT … [WORDS]`

DATA holds ants_bees; the other task are scikit-learn's digits. RUNS takes the runs; what is there already is not run
again. Fine-tuning has the preset `small`, 20 epochs. "random=CHECKPOINT" takes that checkpoint's sizes and initial
values. WORDS leave out what they do not name, of digits, ants_bees, teach and finetune.
One thread, one seed; seconds are the processor's, of the whole command, and features are not kept between runs.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from shared import keep, weights_of

from vitascope.checkpoints.load import load
from vitascope.checkpoints.save import save

TASKS = {"digits": 16, "ants_bees": 64}
"""Pixels of each."""
LATER = ["--save_every", "1000000", "--eval_every", "1000000"]
WAYS = {"teach": [], "finetune": ["--preset", "small", "--yes", "true", *LATER]}
"""Options of each."""
UPRIGHT = ["--augment.crop", "shift", "--augment.flip", "false", "--augment.randaugment_layers", "0"]
"""For fine-tuning digits, which the preset's augmentation, meant for photographs, mirrors and cuts."""


def random_of(checkpoint: str, out: Path) -> str:
    """A checkpoint of the same sizes with initial values."""
    if not out.exists():
        torch.manual_seed(0)
        start = load(checkpoint)
        fresh = type(start.model)(replace(start.config, classes=0))
        save(replace(start, model=fresh.eval(), labels=(), card={}, shown=None), out)
    return str(out)


def call(out: Path, *words: str) -> dict:
    """Results of a command, with the seconds of processor it took."""
    results = out / "results.json"
    if not results.exists():
        with TemporaryDirectory() as cache:
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            line = [sys.executable, "-m", "vitascope", *words, "--out", str(out)]
            subprocess.run(line, check=True, stdout=subprocess.DEVNULL, env={**os.environ, "VITASCOPE_CACHE": cache})
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
        (out / "cpu_seconds").write_text(f"{after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime:.1f}")
    return {**json.loads(results.read_text()), "cpu_seconds": (out / "cpu_seconds").read_text()}


def main(data: Path, runs: Path, starts: list[str], tasks: list[str], ways: list[str]) -> None:
    for start in starts:
        name, _, checkpoint = start.partition("=")
        if name == "random":
            checkpoint = random_of(checkpoint, runs / "random")
        for task in tasks:
            source, pixels = str(data / task) if task == "ants_bees" else task, str(TASKS[task])
            for way in ways:
                words = [way, checkpoint, source, "--image_size", pixels, *WAYS[way]]
                words += UPRIGHT if (task, way) == ("digits", "finetune") else []
                found = call(runs / f"{name}-{task}-{way}", *words)
                judged = found.get("test") or found["validation"]
                row = {"top1": f"{judged['top1']:.4f}", "judged_on": judged["images"]}
                row |= {"left_out_top1": f"{found['loo_top1']:.4f}" if way == "teach" else ""}
                row |= {"cpu_seconds": found["cpu_seconds"], "pixels": pixels}
                keep("beside_finetuning", [row], task=task, start=name, way=way, weights=weights_of(checkpoint))


if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = "1"
    said = sys.argv[3:]
    some = [[word for word in said if word in known] or list(known) for known in (TASKS, WAYS)]
    main(Path(sys.argv[1]), Path(sys.argv[2]), [word for word in said if "=" in word], *some)
