"""Where should training begin? The same small ViT from several starts of equal processor time.

`run.py DATA RUNS [ARM …]`: DATA holds cifar10, cifar100 (parquet) and ants_bees; RUNS takes the runs, each resumable:
the same command goes on where it stopped. What each gave is a line of rows.csv beside this file. One thread.
"""

from __future__ import annotations

import csv
import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from vitascope.precision import processor
from vitascope.version import source_commit

ROWS, TRIED = Path(__file__).with_name("rows.csv"), Path(__file__).with_name("rates.csv")
COLUMNS = ("arm", "seed", "task", "labels", "top1", "loss", "steps", "cpu_seconds")
SEEDS = (0, 1, 2)
MODEL = ["--model_fields.width=96", "--model_fields.depth=4", "--model_fields.heads=3", "--model_fields.hidden=384"]
FRACTALS = "fractals:classes=200,size=32,colour=true,most_maps=3,instances=800,validation=0"
STARTS: dict[str, list[str]] = {
    "supervised": ["CIFAR100", "--preset", "record", *MODEL, "--steps", "4000"],
    "masked": ["CIFAR100", "--preset", "masked", *MODEL, "--steps", "5500"],
    "fractals": [FRACTALS, "--preset", "record", *MODEL, "--steps", "4000"],
}
"""What a start is pre-trained with: lengths of about equal processor time, which rows.csv tells."""
SHARES = {"0.01": 500, "0.1": 1000, "1": 2400}
"""Steps of 64 on CIFAR-10 by the share of its labels."""
LEARNING = ["--batch", "64", "--optimizer", "muon", "--momentum", "0.95", "--warmup", "0.05", "--decay", "linear"]
LEARNING += ["--weight_decay", "0.05", "--label_smoothing", "0.1", "--drop_tokens", "0.6", "--drop_tokens_for", "0.75"]
LEARNING += ["--holdout", "0", "--save_every", "200", "--log_every", "100", "--eval_every", "1000000", "--yes", "true"]
RATES = ("5e-4", "1e-3", "2e-3", "4e-3", "8e-3", "1.6e-2")
"""Each start's own: 0.001, 0.002, 0.004, and further until the best has worse ones on both sides (rates.csv)."""
AS_CHOSEN_FOR = {"start's shape": "scratch", "start": "supervised"}
"""The package's start and its shape take the rates of those like them."""
SHIFT = ["--augment.crop", "shift"]
PHOTOGRAPHS = ["--image_size", "64", "--steps", "300", "--batch", "32"]
UPRIGHT = ["--augment.crop", "shift", "--augment.flip", "false"]
DIGITS = ("digits", "1", "digits", ["--image_size", "32", "--steps", "400", *UPRIGHT])
OURS: dict[str, list[str]] = {"start": ["start"], "start's shape": []}
"""The start in the package, and its shape with initial values: one seed, because there is one start."""
LARGER = ["--model_fields.width=192", "--model_fields.heads=3", "--model_fields.hidden=768"]


def main(data: Path, runs: Path, arms: list[str]) -> None:
    for seed in SEEDS:
        subsets = {share: subset(data / "cifar10", runs / f"cifar10-{share}-{seed}", share, seed) for share in SHARES}
        tasks = [("cifar10", share, subsets[share], [*SHIFT, "--steps", str(SHARES[share])]) for share in SHARES]
        tasks.append(("ants_bees", "1", data / "ants_bees", PHOTOGRAPHS))
        for arm in arms or ["scratch", *STARTS, *OURS]:
            if arm in OURS and seed > 0:
                continue
            start = runs / f"{arm}-{seed}"
            if arm in STARTS:
                source, *options = STARTS[arm]
                train = next((data / "cifar100").glob("train*.parquet")) if source == "CIFAR100" else source
                options += ["--holdout", "0", "--save_every", "500", "--log_every", "100"]
                run(arm, seed, "start", "", "pretrain", [str(train), *options], start)
            begin = [str(start)] if arm in STARTS else OURS.get(arm, [])
            every = [*tasks, *([DIGITS] if arm in OURS else [])]
            for task, labels, images, options in every if begin else []:
                size = options[:2] if options[0] == "--image_size" else []
                fewshot(arm, seed, task, labels, [*begin, str(images), *size])
            rate = own_rate(AS_CHOSEN_FOR.get(arm, arm), data, runs)
            for task, labels, images, options in every:
                words = [*learning(begin, str(images), rate, LARGER if arm in OURS else MODEL), *options]
                run(arm, seed, task, labels, words[0], words[1:], runs / f"{arm}-{seed}-{task}-{labels}")


def learning(begin: list[str], images: str, rate: str, shape: list[str]) -> list[str]:
    """The command that goes on from a start, or begins with initial values where there is none."""
    command = ["finetune", *begin, images] if begin else ["pretrain", images, "--preset", "record", *shape]
    return [*command, "--lr", rate, *LEARNING]


def own_rate(arm: str, data: Path, runs: Path) -> str:
    """The best on a fifth held out of the 10 % of the labels that seed 100 draws, which no run is judged on."""
    images = subset(data / "cifar10", runs / "cifar10-0.1-100", "0.1", 100) / "train.parquet"
    found: dict[str, float] = {}
    ahead = list(RATES[1:4])
    while ahead:
        for rate in ahead:
            found[rate] = tried(arm, rate, images, runs)
        best = RATES.index(max(found, key=lambda rate: found[rate]))
        ahead = [rate for rate in RATES[max(best - 1, 0) : best + 2] if rate not in found]
    return RATES[best]


def tried(arm: str, rate: str, images: Path, runs: Path) -> float:
    """Share of the images held out that a rate gets right; its row once it is done."""
    for row in rows(TRIED):
        if (row["arm"], row["rate"]) == (arm, rate):
            return float(row["top1"])
    out = runs / f"rate-{arm}-{rate}"
    again = ["--resume", "auto"] if (out / "config.yaml").exists() else []
    words = learning([str(runs / f"{arm}-0")] if arm in STARTS else [], str(images), rate, MODEL)
    words += ["--holdout", "0.2", *SHIFT, "--steps", str(SHARES["0.1"]), "--seed", "100"]
    if not (out / "results.json").exists():
        call([*words, "--out", str(out), *again])
    judged = json.loads((out / "results.json").read_text())["validation"]
    keep(TRIED, ("arm", "rate", "top1", "loss"), arm, rate, judged["top1"], judged["loss"])
    return float(judged["top1"])


def subset(whole: Path, folder: Path, share: str, seed: int) -> Path:
    """CIFAR-10 with that share of its training images, as many of each class, and all test images."""
    if not folder.exists():
        table = pq.read_table(next(whole.glob("train*.parquet")))
        labels = np.asarray(table["label"])
        generator = np.random.default_rng(seed)
        drawn = [generator.permutation(np.flatnonzero(labels == k))[: int(5000 * float(share))] for k in range(10)]
        folder.mkdir(parents=True)
        (folder / "test.parquet").symlink_to(next(whole.glob("test*.parquet")).resolve())
        pq.write_table(table.take(np.sort(np.concatenate(drawn))), folder / "train.parquet")
    return folder


def run(arm: str, seed: int, task: str, labels: str, command: str, words: list[str], out: Path) -> None:
    """One training, gone on with where it stopped; its row once it is done."""
    if done(arm, seed, task, labels):
        return
    again = ["--resume", "auto"] if (out / "config.yaml").exists() else []
    before = cpu_seconds()
    call([command, *words, "--seed", str(seed), "--out", str(out), *again])
    results = json.loads((out / "results.json").read_text())
    judged = results.get("test") or results.get("validation") or {}
    row = (judged.get("top1", ""), judged.get("loss", ""), results["steps"], round(cpu_seconds() - before))
    keep(ROWS, COLUMNS, arm, seed, task, labels, *row)


def fewshot(arm: str, seed: int, task: str, labels: str, words: list[str]) -> None:
    """A head in closed form on the frozen features of all labels: the official λ."""
    if done(arm, seed, task + " ridge", labels):
        return
    told = json.loads(call(["fewshot", *words, "--shots", "all", "--seeds", "1", "--methods", "ridge", "--json"]))
    keep(ROWS, COLUMNS, arm, seed, task + " ridge", labels, told["results"][0]["mean"], "", "", "")


def call(words: list[str]) -> str:
    line = [sys.executable, "-m", "vitascope", *words]
    return subprocess.run(line, check=True, stdout=subprocess.PIPE, text=True).stdout


def cpu_seconds() -> float:
    """Of all commands so far: what other work takes on the machine does not count."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def rows(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.open())) if path.exists() else []


def done(arm: str, seed: int, task: str, labels: str) -> bool:
    return any((r["arm"], r["seed"], r["task"], r["labels"]) == (arm, str(seed), task, labels) for r in rows(ROWS))


def keep(path: Path, columns: tuple[str, ...], *values: object) -> None:
    new = not path.exists()
    with path.open("a", newline="") as file:
        write = csv.writer(file)
        if new:
            write.writerow([*columns, "commit", "processor"])
        source = source_commit()
        commit = f"{source['commit'][:12]}{'+' if source['dirty'] else ''}"
        write.writerow([*values, commit, processor()])


if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = "1"
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
