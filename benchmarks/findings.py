"""The rows of README.md's table of results: what was found, in words around the numbers of a file of results/.

A template holds `{FILE[key][key]}`: `FILE` is a name of FILES, keys lead to the number. `table.py` writes the table.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent.parent / "results"
FILES = {
    "demo": "demo/summary.json",
    "train": "train/ants_bees.json",
    "fractals_demo": "demo/fractals.json",
    "transfer": "cifar_transfer/summary.json",
    "comparison": "comparison/study/study.json",
    "cifar": "data_scaling_cifar100_2026-11-23/study.json",
    "drawn": "data_scaling_fractals_2026-11-23/study.json",
    "record": "cifar10_record/results.json",
    "fractals_first": "cifar10_record/fractals.json",
    "rates": "benchmarks/amd-epyc-avx2/fractals.json",
    "ants": "ants_bees/results.json",
}


@dataclass(frozen=True)
class Finding:
    """A row; all three are templates."""

    what: str
    told: str
    made_by: str


_STUDY = "`vitascope study data-scaling`, [comparison](docs/comparison.md)"

FINDINGS = [
    Finding(
        "`train`, ants and bees, 244 + 153 photographs, {train[time_budget]}",
        "{train[validation][top1]:.1%} of the validation photographs, on which the better of two was chosen"
        " (taught {train[compared][taught][top1]:.1%}, fine-tuned {train[compared][finetuned][top1]:.1%})",
        "`results/train/`: {train[threads]} thread of {train[processor]}, beside {train[load]}",
    ),
    Finding(
        "demo, {demo[test_images]} test digits",
        "{demo[top1]:.1%}, {demo[kept]}",
        "`make demo`, `results/demo/`: {demo[seconds]:.0f} s on {demo[processor]}, beside {demo[load]}",
    ),
    Finding(
        "demo, {demo[few_labels][per_class]} labels per digit",
        "{demo[few_labels][taught_top1]:.1%} from the start in the package,"
        " {demo[few_labels][scratch_top1]:.1%} from random values",
        "the same",
    ),
    Finding(
        "digits after {fractals_demo[runs][pretrain][seconds]:.0f} s of fractals: all"
        " {fractals_demo[labelled_images]:,} labels, 10 labels per digit",
        "{fractals_demo[pretrained_top1]:.1%}, {fractals_demo[few_labels][pretrained_top1]:.1%}; from scratch"
        " {fractals_demo[scratch_top1]:.1%}, {fractals_demo[few_labels][scratch_top1]:.1%}",
        "the demo of before, `results/demo/fractals.json`: {fractals_demo[processor]}",
    ),
    Finding(
        "CIFAR-100 at 32 px ({transfer[vit-pretrain][epochs]} epochs) → CIFAR-10 at 48 px"
        " ({transfer[vit-finetune][epochs]} epochs): ViT-Ti/4",
        "{transfer[vit-finetune][test_top1]:.1%} test top-1; from scratch {transfer[vit-scratch][test_top1]:.1%}",
        "`results/cifar_transfer/run.sh`",
    ),
    Finding(
        "the same, BiT-R50 of half width, of similar cost",
        "{transfer[bit-finetune-adamw][test_top1]:.1%} (SGD as the ViT: {transfer[bit-finetune][test_top1]:.1%});"
        " from scratch {transfer[bit-scratch][test_top1]:.1%}",
        "the same",
    ),
    Finding(
        "CIFAR-100 → CIFAR-10 at 8 px, {comparison[runs][done]} runs, each model at its own rates",
        "{comparison[verdicts][0][claims][1][text]}; {comparison[verdicts][5][claims][0][text]}",
        "`results/comparison/run.sh`, [comparison](docs/comparison.md): {comparison[environment][processor]}",
    ),
    Finding(
        "CIFAR-100 → CIFAR-10, the attempt before, {cifar[runs][done]} runs of 400 steps: rise of the validation loss"
        " after its best",
        "{cifar[verdicts][3][claims][0][text]}",
        _STUDY,
    ),
    Finding(
        "the same, fine-tuned from 160 images; no crossover can be read within 40,000",
        ", ".join(
            f"{model} {{cifar[fine-tuned][{model}][160][mean]:.1%}} ± {{cifar[fine-tuned][{model}][160][half]:.1%}}"
            for model in ("ViT-128/8", "ViT-256/8", "BiT-R50x½", "BiT-R14x½")
        ),
        "the same",
    ),
    Finding(
        "fractals → CIFAR-10, 400 steps of 64",
        "ViT-128/8 does not begin to learn them ({drawn[pre-training][ViT-128/8][16000][mean]:.0%} of 100 classes),"
        " BiT-R14x½ tells {drawn[pre-training][BiT-R14x½][16000][mean]:.0%}",
        "the same",
    ),
    Finding(
        "inductive bias of five such models, trained and untrained",
        "what Section 3.1 says of convolutions, MLPs, attention and positions holds of each layer by itself; from the"
        " image on, borders and GroupNorm take most of a ResNet's equivariance",
        "`vitascope study inductive-bias`, [comparison](docs/comparison.md)",
    ),
    Finding(
        "CIFAR-10 from scratch, a plain ViT of {record[parameters]:,} parameters, an hour of two cores",
        "{record[test][top1]:.1%} test top-1 ({record[epochs]:g} epochs, one seed); with eleven of the minutes spent on"
        " fractals first {fractals_first[test][top1]:.1%}",
        "`vitascope pretrain --preset record`, `results/cifar10_record/`",
    ),
    Finding(
        "fractals per second and core, grey (colour)",
        "{rates[ways_at_32_pixels][vitascope][images_per_second][median]:,.0f}"
        " ({rates[ways_at_32_pixels][vitascope, colour][images_per_second][median]:,.0f}) at 32 px,"
        " {rates[ways][vitascope][images_per_second][median]:,.0f}"
        " ({rates[ways][vitascope, colour][images_per_second][median]:,.0f}) at 64 px",
        "`python benchmarks/fractals.py`",
    ),
    Finding(
        "ants and bees, {ants[train_images]} + {ants[validation][images]} photographs, from that start, 48 px",
        "{ants[validation][top1]:.1%} validation top-1 in {ants[seconds]:.0f} s",
        "`results/ants_bees/README.md`",
    ),
]


def lines() -> list[str]:
    """The table in Markdown."""
    values = {name: _read(RESULTS / path) for name, path in FILES.items()}
    rows = [" | ".join((f.what, f.told, f.made_by)).format(**values).replace("%", " %") for f in FINDINGS]
    return ["| what | result | command, file |", "|---|---|---|", *(f"| {row} |" for row in rows)]


def _read(path: Path) -> dict[str, Any]:
    """A result; the table of a study also by measure, model and size."""
    result: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    for row in result.get("table", []):
        result.setdefault(row["measure"], {}).setdefault(row["model"], {})[row["size"]] = row
    return result
