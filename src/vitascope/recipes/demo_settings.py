"""Sizes and rates of the demo, its runs as ordinary recipes, and what it hands to the report."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vitascope.checkpoints.checkpoint import Prediction
from vitascope.data.settings import AugmentConfig
from vitascope.data.source import Source
from vitascope.evaluation.metrics import Tally
from vitascope.recipes.recipe import FinetuneRecipe, PretrainRecipe

MARKER, SUMMARY, REPORT, IMAGES = "demo.json", "summary.json", "report.html", "images"
PRETRAIN, FINETUNE, SCRATCH, FEW, FEW_SCRATCH = "pretrain", "finetune", "scratch", "few-labels", "few-labels-scratch"
OURS = (PRETRAIN, FINETUNE, SCRATCH, FEW, FEW_SCRATCH, SUMMARY, REPORT, MARKER)


@dataclass(frozen=True, kw_only=True)
class DemoSettings:
    """Sizes and rates of the demo; five settings were tried on the test split too, so its figures lean optimistic."""

    out: str = "runs/demo"
    """The demo's folder; an earlier demo in it is replaced."""
    seed: int = 0
    """Fixes the fractals, initial values, order, augmentation and which labels the few are."""
    patch: int = 4
    """Side of a patch, pixels, at both resolutions."""
    width: int = 128
    """D, the size of a token."""
    depth: int = 4
    """Number of blocks."""
    heads: int = 4
    """Attention heads."""
    pretrain_size: int = 12
    """Side of the fractals, pixels."""
    fractal_classes: int = 200
    """Function systems to tell apart."""
    fractal_size: int = 32
    """Side at which the fractals are drawn before they are reduced, pixels."""
    fractal_crop: float = 0.75
    """Share of a fractal's side that a training crop keeps: `pretrain_size` of `finetune_size`, so that strokes are as
    wide against the patch as they will be in the digits. Without it this pre-training does not pay."""
    pretrain_steps: int = 3600
    """Steps of pre-training; every image is seen once."""
    pretrain_batch: int = 32
    """Images per step of pre-training."""
    pretrain_lr: float = 1e-3
    """Peak learning rate of pre-training."""
    finetune_size: int = 16
    """Side of the digits, pixels: higher than in pre-training, as in Section 3.2."""
    finetune_steps: int = 400
    """Steps on all labels, pre-trained or not."""
    finetune_batch: int = 64
    """Images per step on all labels."""
    finetune_lr: float = 1.5e-3
    """Peak learning rate on the digits with pre-training."""
    scratch_lr: float = 1.5e-3
    """The same without pre-training."""
    holdout: float = 0.1
    """Share of the labelled digits kept aside for the learning curves."""
    few_per_class: int = 10
    """Labels per class in the few-label case."""
    few_lr: float = 3e-3
    """Peak learning rate on the few labels with pre-training."""
    few_scratch_lr: float = 1.5e-3
    """The same without pre-training."""
    few_steps: int = 150
    """Steps on the few labels."""
    few_batch: int = 50
    """Images per step on the few labels."""
    watched: int = 300
    """Unlabelled training images on which the few-label runs are watched, and nothing is chosen."""


@dataclass(frozen=True, kw_only=True)
class DemoResult:
    """What the report shows."""

    settings: DemoSettings
    """How it was done."""
    summary: dict[str, Any]
    """What summary.json holds."""
    test: Source
    """The 450 digits that were kept for the end."""
    tally: Tally
    """The fine-tuned model's counts on them."""
    predicted: np.ndarray
    """Its class for each of them, int64 (450,)."""
    confidence: np.ndarray
    """The probability it gave that class, float32 (450,)."""
    samples: list[tuple[Path, int, list[Prediction]]]
    """Ten test images as files, their true class and what the predictor says."""


def _model_fields(s: DemoSettings) -> dict[str, Any]:
    return {"width": s.width, "depth": s.depth, "heads": s.heads, "hidden": 4 * s.width}


def pretrain_recipe(s: DemoSettings) -> PretrainRecipe:
    """Fractals with the paper's MLP head; generated as they are needed, so each is seen once."""
    instances = -(-s.pretrain_steps * s.pretrain_batch // s.fractal_classes)
    return PretrainRecipe(
        # Thin ones of few maps, upright: strokes like those of writing, and a class can be learned from few images.
        data=f"fractals:classes={s.fractal_classes},size={s.fractal_size},instances={instances},validation=0,"
        f"min_fill=0.02,max_fill=0.15,most_maps=3,jitter=0.1,rotation=0,flips=false,seed={s.seed}",
        out=str(Path(s.out) / PRETRAIN),
        model=f"ViT-Ti/{s.patch}",
        model_fields=_model_fields(s),
        image_size=s.pretrain_size,
        steps=s.pretrain_steps,
        batch=s.pretrain_batch,
        mean=(0.0,),  # the black ground is zero
        lr=s.pretrain_lr,
        warmup=0.1,
        weight_decay=0.05,
        memory_budget="0",  # faster to generate in batches than to keep
        seed=s.seed,
        holdout=0.0,
        save_every=s.pretrain_steps,
        augment=AugmentConfig(crop="inception", crop_area=(s.fractal_crop**2,) * 2, crop_ratio=(1.0, 1.0), flip=False),
    )


def _digits_settings(s: DemoSettings, name: str) -> dict[str, Any]:
    """What the run with pre-training and the run without have in common: everything but the rate."""
    few = name in (FEW, FEW_SCRATCH)
    steps = s.few_steps if few else s.finetune_steps
    return {
        "data": f"digits ({s.few_per_class} labels per class)" if few else "digits",
        "out": str(Path(s.out) / name),
        "image_size": s.finetune_size,
        "steps": steps,
        "batch": s.few_batch if few else s.finetune_batch,
        "holdout": s.holdout,
        "warmup": 0.1,
        "weight_decay": 0.05,
        "seed": s.seed,
        "log_every": max(steps // 20, 1),
        "eval_every": max(steps // 8, 1),
        "save_every": steps,
        "augment": AugmentConfig(crop="shift", pad_shift=1, pad_mode="zero", rotate=10, zoom=0.1, flip=False),
    }


def finetune_recipe(s: DemoSettings, name: str) -> FinetuneRecipe:
    """Digits at a higher resolution from the pre-trained weights."""
    checkpoint = str(Path(s.out) / PRETRAIN)
    lr = s.few_lr if name == FEW else s.finetune_lr
    return FinetuneRecipe(checkpoint=checkpoint, optimizer="adamw", lr=lr, **_digits_settings(s, name))


def scratch_recipe(s: DemoSettings, name: str) -> PretrainRecipe:
    """The same model, budget and augmentation from initial values, with fine-tuning's linear head."""
    return PretrainRecipe(
        model=f"ViT-Ti/{s.patch}",
        model_fields=_model_fields(s),
        mlp_head=False,
        mean=(0.0,),
        lr=s.few_scratch_lr if name == FEW_SCRATCH else s.scratch_lr,
        **_digits_settings(s, name),
    )


def next_commands(out: str) -> list[tuple[str, str]]:
    """What to do next with one's own photographs: (why, command)."""
    begin = shlex.quote(str(Path(out) / PRETRAIN))
    return [
        ("look for unreadable, empty and doubtful files", "vitascope check photos"),
        (
            "fine-tune; a tenth is held out to measure on",
            f"vitascope finetune {begin} photos --preset small --image_size 32 --out runs/mine",
        ),
        ("accuracy on other photographs, in the same class folders", "vitascope evaluate runs/mine other-photos"),
        ("labels and probabilities for new files", "vitascope predict runs/mine new-photos"),
    ]
